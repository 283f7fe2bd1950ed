"""Whether an image has the program that is to run: found out before anything is started."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from contract.errors import FailedError
from host.runtime import kernel
from host.runtime.shape import ImageProcess

__all__ = ["check"]

_MOUNTED: Final = (
    "/.bottlerocket/",
    "/dev/",
    "/mnt/",
    "/proc/",
    "/run/",
    "/sys/",
    "/usr/local/bin/apiclient",
)
"""What is below these comes with the container's mounts, and the image need not have it."""
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LINE_MAX: Final = 256  # execve(2): longer first lines are cut


def check(what: object, rootfs: Path, process: ImageProcess, command: Sequence[str]) -> None:
    """Raise FailedError (IMAGE_INCOMPLETE) when what is to run cannot be run in that tree."""
    args = tuple(command) or process.args
    if not args:
        raise FailedError(
            f"image {what} names no program to run",
            hint="set the container's `command`",
            code="IMAGE_INCOMPLETE",
        )
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = _find(root, args[0], process)
        if found is None:
            raise FailedError(
                f"image {what} has no program {args[0][:200]!r}",
                hint="correct the image, or set the container's `command`",
                code="IMAGE_INCOMPLETE",
            )
        interpreter = _interpreter(root, found)
        if interpreter and not _runs(root, interpreter):
            raise FailedError(
                f"image {what} has no {interpreter[:200]}, which its program {found} needs",
                hint="correct the image, or set the container's `command`",
                code="IMAGE_INCOMPLETE",
            )
    finally:
        os.close(root)


def _find(root: int, program: str, process: ImageProcess) -> str | None:
    """Return the path of a program as execvp(3) finds it."""
    if "/" in program:
        places = [os.path.join(process.cwd or "/", program)]  # noqa: PTH118  not on this host
    else:
        named = (one.removeprefix("PATH=") for one in process.env if one.startswith("PATH="))
        places = [f"{place or '.'}/{program}" for place in next(named, _PATH).split(":")]
    return next((place for place in places if _runs(root, place)), None)


def _runs(root: int, path: str) -> bool:
    if path.startswith(_MOUNTED):
        return True
    try:
        descriptor = kernel.open_in_root(root, path, os.O_PATH)
    except (OSError, ValueError):
        return False
    try:
        mode = os.fstat(descriptor).st_mode
    finally:
        os.close(descriptor)
    return stat.S_ISREG(mode) and bool(mode & 0o111)


def _interpreter(root: int, path: str) -> str:
    """Return what a script's first line names, else nothing."""
    if path.startswith(_MOUNTED):
        return ""
    try:
        descriptor = kernel.open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return ""
    try:
        line = os.read(descriptor, _LINE_MAX).partition(b"\n")[0]
    finally:
        os.close(descriptor)
    words = line[2:].split() if line.startswith(b"#!") else []
    return os.fsdecode(words[0]) if words else ""
