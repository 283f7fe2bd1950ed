"""Files that survive a power cut whole: write, fsync, rename, fsync of the directory.

A reader sees the old bytes or the new ones, never a mixture (rename(2)). Files are 0600 unless the
caller says otherwise, and no symbolic link is followed at the last component.
"""

import errno
import os
import secrets
import stat
from pathlib import Path

from contract.errors import MachineError, UsageError

__all__ = ["ensure_directory", "read_file", "remove_file", "write_file"]


def ensure_directory(path: Path, mode: int = 0o700) -> Path:
    """Make directory `path` with its parents, give it exactly `mode`, and return it.

    Raises MachineError when that is not possible or a file is in the way.
    """
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        if path.stat().st_mode & 0o7777 != mode:
            path.chmod(mode)
    except OSError as error:
        raise MachineError(
            f"cannot make directory {path}: {error.strerror}", code="DIRECTORY_UNUSABLE"
        ) from error
    return path


def write_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace `path` by a file of `data` with `mode`, durably.

    Raises OSError (ENOSPC and the like); the old file is untouched then and no scratch file stays.
    """
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(scratch, flags, mode)
    try:
        try:
            os.fchmod(descriptor, mode)
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(scratch, path)  # noqa: PTH104  the system call itself, beside its neighbours
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def remove_file(path: Path) -> None:
    """Remove `path` durably; a missing file is fine. Raises OSError."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def read_file(path: Path, limit: int) -> bytes:
    """Return the bytes of the regular file `path`, of at most `limit` bytes.

    Raises FileNotFoundError, OSError (ELOOP for a symbolic link, EISDIR, EINVAL for a pipe or a
    device), UsageError when it is too large.
    """
    # Not to wait for whoever may open a pipe's other end (fifo(7)).
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise UsageError(f"{path} is larger than {limit} bytes", code="FILE_TOO_LARGE")
    return data


def sync_directory(path: Path) -> None:
    """Make renames and removals in directory `path` durable (fsync(2)). Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
