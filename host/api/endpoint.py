"""Listening sockets in directories of their own, one for each caller.

A directory is mounted into its container and stays; the socket in it is made anew by every daemon,
appears by rename with its owner and mode already right, and is never found through a path that the
container could bend: all steps are relative to a descriptor of the directory.
"""

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from contract.errors import ConflictError, MachineError
from contract.places import API_GID, API_MODE

__all__ = ["DIRECTORY_MODE", "bound", "remove"]

DIRECTORY_MODE: Final = 0o750
"""A container's socket directory: root writes, group api enters."""
BACKLOG: Final = 64


@contextmanager
def bound(path: Path) -> Iterator[socket.socket]:
    """Give a listening socket at `path`, of group api and mode 0660; close it if the body fails.

    Raises ConflictError (SOCKET_TAKEN) for a file that is no socket, and MachineError
    (SOCKET_UNUSABLE).
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _bind(listener, directory, path)
            yield listener
        finally:
            os.close(directory)
    except OSError as error:
        listener.close()
        why = error.strerror or str(error)
        raise MachineError(f"cannot listen at {path}: {why}", code="SOCKET_UNUSABLE") from error
    except BaseException:
        listener.close()
        raise


def remove(path: Path) -> None:
    """Remove the socket at `path`; a missing one is fine, and so is what a container put there."""
    with contextlib.suppress(OSError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()


def _bind(listener: socket.socket, directory: int, path: Path) -> None:
    _check_free(directory, path)
    scratch = f".{path.name}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(scratch, dir_fd=directory)
    # Through /proc, so that the length of the directory's own path does not count (unix(7)).
    before = os.umask(0o777 & ~API_MODE)
    try:
        listener.bind(f"/proc/self/fd/{directory}/{scratch}")
    finally:
        os.umask(before)
    if os.geteuid() == 0:
        os.chown(scratch, 0, API_GID, dir_fd=directory, follow_symlinks=False)
    listener.listen(BACKLOG)
    listener.setblocking(False)  # noqa: FBT003  the standard library's signature
    os.rename(scratch, path.name, src_dir_fd=directory, dst_dir_fd=directory)


def _check_free(directory: int, path: Path) -> None:
    try:
        found = os.stat(path.name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ConflictError(
            f"{path} is in the way: it is no socket", hint="move it away", code="SOCKET_TAKEN"
        )
