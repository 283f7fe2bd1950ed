"""One daemon for one directory: a lock that ends with its holder, however that ends (flock(2))."""

import fcntl
import os
from pathlib import Path

from contract.errors import ConflictError, MachineError

__all__ = ["Lock", "held", "wait"]

_NAME = ".lock"


class Lock:
    """The lock on `directory`. Raises ConflictError (DAEMON_RUNNING) when another holds it."""

    def __init__(self, directory: Path) -> None:
        path = directory / _NAME
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            raise MachineError(
                f"cannot lock {directory}: {error.strerror}", code="DIRECTORY_UNUSABLE"
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._descriptor)
            raise ConflictError(
                f"another daemon uses {directory}",
                hint="end it first: `hostd stop`",
                code="DAEMON_RUNNING",
            ) from error

    def release(self) -> None:
        """Let the next one have it."""
        os.close(self._descriptor)


def held(directory: Path) -> bool:
    """Return whether a daemon holds the lock on `directory`."""
    if not (directory / _NAME).exists():
        return False
    try:
        Lock(directory).release()
    except ConflictError:
        return True
    return False


def wait(directory: Path) -> None:
    """Return once no daemon holds the lock on `directory`."""
    descriptor = os.open(directory / _NAME, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)
