"""Receiving a terminal from a runtime: the master's descriptor comes over a socket (runc(8))."""

import array
import asyncio
import contextlib
import fcntl
import os
import socket
import struct
import termios
from pathlib import Path
from typing import Final

from contract.execwire import Size

__all__ = ["Console", "resize"]

_NAME_MAX: Final = 4096


class Console:
    """A socket at `path` on which one terminal arrives."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.bind(str(path))
            self._socket.listen(1)
            self._socket.settimeout(0)
        except BaseException:
            self._socket.close()
            raise

    async def receive(self) -> int:
        """Return the master's descriptor. Raises OSError when none comes."""
        loop = asyncio.get_running_loop()
        connection, _ = await loop.sock_accept(self._socket)
        with connection:
            ready = asyncio.Event()
            loop.add_reader(connection, ready.set)
            try:
                await ready.wait()
            finally:
                loop.remove_reader(connection)
            return _descriptor(connection)

    def close(self) -> None:
        """Listen no longer."""
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()


def resize(terminal: int, size: Size) -> None:
    """Give a terminal a size; the kernel tells its foreground job (ioctl_tty(2))."""
    packed = struct.pack("HHHH", size.rows, size.cols, 0, 0)
    with contextlib.suppress(OSError):  # its other side may be gone
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, packed)


def _descriptor(connection: socket.socket) -> int:
    # socket.recv_fds has no way to set CLOEXEC at once.
    size = socket.CMSG_SPACE(array.array("i").itemsize)
    _, ancillary, _, _ = connection.recvmsg(_NAME_MAX, size, socket.MSG_CMSG_CLOEXEC)
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found = array.array("i")
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
            for extra in found[1:]:
                os.close(extra)
            return found[0]
    raise OSError("the runtime sent no terminal")
