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
    """Return the file's content; None where there is none that could be of our own writing."""
    # Not blocking: a container may have put a FIFO in its place.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags)
    except OSError:
        return None
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or stat.S_IMODE(about.st_mode) != _MODE:
            return None
        return _all(descriptor)
    finally:
        os.close(descriptor)


def _all(descriptor: int) -> bytes | None:
    found = bytearray()
    while data := os.read(descriptor, 1 << 16):
        found += data
        if len(found) > _SIZE_MAX:
            return None
    return bytes(found)


def write(path: Path, data: bytes) -> None:
    """Replace the file, 0600 in a 0700 directory. Raises FailedError (USER_DATA_UNWRITABLE)."""
    ensure_directory(path.parent.parent)
    ensure_directory(path.parent)
    try:
        write_file(path, data)
    except OSError as error:
        what = "a directory is in its place" if error.errno == errno.EISDIR else error.strerror
        raise FailedError(f"cannot write {path}: {what}", code="USER_DATA_UNWRITABLE") from error
