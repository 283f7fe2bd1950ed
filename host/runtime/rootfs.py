"""A container's root: an overlay over the unpacked image, whose changes are dropped at each start.

Nothing outside the persistent directory survives a restart, as upstream has it.
"""

import errno
import os
import shutil
from pathlib import Path
from typing import Final

from contract.durable import ensure_directory
from contract.errors import MachineError
from contract.places import API_DIRECTORY, API_SOCKET
from host.runtime import kernel
from host.runtime.files import Files

__all__ = ["mount", "options", "unmount"]

_OPAQUE: Final = "trusted.overlay.opaque"


def mount(image: Path, files: Files) -> None:
    """Mount a fresh root over the unpacked tree `image`. Raises MachineError (OVERLAY_FAILED)."""
    unmount(files)
    upper, work = files.home / "upper", files.home / "work"
    try:
        for path in (upper, work, files.rootfs):
            ensure_directory(path, 0o755)
        _link_api(upper)
        kernel.mount("overlay", str(files.rootfs), "overlay", 0, options(image, upper, work))
        # Private: what the runtime mounts inside must not show up on the host.
        kernel.mount("none", str(files.rootfs), "", kernel.MS_PRIVATE)
        if files.spare and files.kept.is_dir():
            _mount_spare(files)
    except OSError as error:
        raise MachineError(
            f"cannot mount the root of container {files.name}: {error}",
            hint=f"overlayfs must work on the file system of {files.home}",
            code="OVERLAY_FAILED",
        ) from error


def _mount_spare(files: Files) -> None:
    """Mount what the container keeps such that it can be read, and changes go to RUN."""
    upper, work = files.home / "changes", files.home / "changes.work"
    for path in (upper, work):
        ensure_directory(path)
    data = options(files.kept, upper, work)
    kernel.mount("overlay", str(files.persistent), "overlay", 0, data)
    kernel.mount("none", str(files.persistent), "", kernel.MS_PRIVATE)


def unmount(files: Files) -> None:
    """Unmount the root and drop its changes; idempotent. Raises MachineError (OVERLAY_FAILED)."""
    try:
        for place in (files.rootfs, *([files.persistent] if files.spare else [])):
            while place.is_dir() and os.path.ismount(place):
                _umount(place)
        for name in ("upper", "work", *(("changes", "changes.work") if files.spare else ())):
            _remove(files.home / name)
    except OSError as error:
        raise MachineError(
            f"cannot remove the root of container {files.name}: {error}", code="OVERLAY_FAILED"
        ) from error


def options(lower: Path, upper: Path, work: Path) -> str:
    """Return the overlay's mount options; its separators in paths are escaped.

    `volatile`: nothing is synced, because nothing of it is kept.
    """
    paths = {"lowerdir": lower, "upperdir": upper, "workdir": work}
    words = [f"{key}={_escaped(str(path), key)}" for key, path in paths.items()]
    return ",".join([*words, "volatile"])


def _escaped(path: str, key: str) -> str:
    # Commas end an option everywhere, colons divide the layers of lowerdir only.
    special = "\\,:" if key == "lowerdir" else "\\,"
    return "".join(f"\\{char}" if char in special else char for char in path)


def _link_api(upper: Path) -> None:
    """Put API_SOCKET into the upper layer, in a /run that hides whatever the image has there."""
    run = upper / Path(API_SOCKET).parent.relative_to("/")
    run.mkdir(mode=0o755)
    os.setxattr(run, _OPAQUE, b"y")
    target = Path(API_DIRECTORY).relative_to(Path(API_SOCKET).parent) / "api.sock"
    (run / Path(API_SOCKET).name).symlink_to(target)


def _remove(directory: Path) -> None:
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        # It stays until it can be written to: `mount` comes by here first.


def _umount(target: Path) -> None:
    try:
        kernel.umount(str(target))
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        # Somebody on the host stands in it: for everybody else it is gone at once.
        kernel.umount(str(target), kernel.MNT_DETACH)
