"""One daemon for one directory: a lock that ends with its holder, however that ends (flock(2)).

It is on the directory itself, so that one on a read-only medium can be locked, too.
"""

import fcntl
import os
from pathlib import Path
from typing import Final

from contract.errors import ConflictError, MachineError

__all__ = ["Lock", "held", "wait"]

_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Lock:
    """The lock on `directory`. Raises ConflictError (DAEMON_RUNNING) when another holds it."""

    def __init__(self, directory: Path) -> None:
        try:
            self._descriptor = os.open(directory, _FLAGS)
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
    if not directory.is_dir():
        return False
    try:
        Lock(directory).release()
    except ConflictError:
        return True
    return False


def wait(directory: Path) -> None:
    """Return once no daemon holds the lock on `directory`."""
    descriptor = os.open(directory, _FLAGS)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)
