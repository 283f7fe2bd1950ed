"""Who is at the other end of a Unix socket: what the kernel says, not what the peer says."""

import socket
import struct
from dataclasses import dataclass

__all__ = ["Peer", "of"]

_UCRED = struct.Struct("=iII")  # struct ucred, unix(7): pid, uid, gid


@dataclass(frozen=True, slots=True)
class Peer:
    """Credentials at the time of connect(2). `pid` is 0 outside our pid namespace."""

    pid: int
    uid: int
    gid: int

    @property
    def outside(self) -> bool:
        """Whether the peer's pid has no number in our pid namespace."""
        return self.pid == 0


def of(connection: socket.socket) -> Peer:
    """Return the peer of a connected Unix socket (SO_PEERCRED). Raises OSError."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return Peer(*_UCRED.unpack(data))
