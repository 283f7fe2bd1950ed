"""Where the keeper's socket and lock lie, and reaching them below any path."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract import places
from contract.durable import ensure_directory
from contract.errors import ConflictError, MachineError, UnavailableError

__all__ = ["bind", "connect", "lock", "socket_path"]

MODE = 0o600


def socket_path(state: Path | None) -> Path:
    """Return the keeper's socket: the well-known one, or that below a state directory."""
    return state / "run/admin.sock" if state else Path(places.KEEPER_SOCKET)


def connect(path: Path) -> socket.socket:
    """Return a connection to the keeper. Raises UnavailableError (KEEPER_ABSENT)."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        with _short(path) as name:
            connection.connect(name)
    except OSError as error:
        connection.close()
        raise UnavailableError(
            f"admin's keeper does not answer at {path}: {error.strerror}",
            hint="it is started by: admin serve",
            code="KEEPER_ABSENT",
        ) from error
    return connection


def bind(path: Path) -> socket.socket:
    """Return the listening socket, in the place of one that a dead keeper left.

    Raises MachineError (SOCKET_UNUSABLE).
    """
    listening = socket.socket(socket.AF_UNIX)
    try:
        path.unlink(missing_ok=True)
        with _short(path) as name:
            umask = os.umask(0o177)  # connect(2) asks for write permission: nobody else, ever
            try:
                listening.bind(name)
            finally:
                os.umask(umask)
        listening.listen()
    except OSError as error:
        listening.close()
        raise MachineError(
            f"cannot make the socket {path}: {error.strerror}", code="SOCKET_UNUSABLE"
        ) from error
    return listening


def lock(directory: Path) -> int:
    """Make `directory` ours alone for as long as the returned descriptor is open (flock(2)).

    Raises ConflictError (KEEPER_RUNNING), MachineError.
    """
    ensure_directory(directory)
    path = directory / "admin.lock"
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags, MODE)
    except OSError as error:
        raise MachineError(
            f"cannot make {path}: {error.strerror}", code="DIRECTORY_UNUSABLE"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise ConflictError(
            f"another admin serve runs on {directory}",
            hint="end it first, or give another --state",
            code="KEEPER_RUNNING",
        ) from error
    return descriptor


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Give a name of `path` that fits into a socket address, however deep the path is (unix(7))."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
