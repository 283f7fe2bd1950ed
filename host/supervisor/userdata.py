"""The user-data file: ours to write, in a directory that the container may fill as it likes."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

from contract.durable import ensure_directory, write_file
from contract.errors import FailedError

__all__ = ["read", "write"]

_MODE: Final = 0o600
_SIZE_MAX: Final = 4 << 20


def read(path: Path) -> bytes | None:
    """Return the file's content; None where there is no regular file of a sensible size."""
    # Not blocking: a container may have put a FIFO in its place.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_size > _SIZE_MAX:
            return None
        if stat.S_IMODE(about.st_mode) != _MODE:
            return None
        return file.read(_SIZE_MAX)


def write(path: Path, data: bytes) -> None:
    """Replace the file, 0600 in a 0700 directory. Raises FailedError (USER_DATA_UNWRITABLE)."""
    ensure_directory(path.parent.parent)
    ensure_directory(path.parent)
    try:
        write_file(path, data)
    except OSError as error:
        what = "a directory is in its place" if error.errno == errno.EISDIR else error.strerror
        raise FailedError(f"cannot write {path}: {what}", code="USER_DATA_UNWRITABLE") from error
