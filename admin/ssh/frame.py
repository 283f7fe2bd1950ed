"""Typed messages and descriptors over a SOCK_SEQPACKET pair: one message, one packet.

The kernel keeps packets whole (unix(7)), so a message needs no length; what is longer than
FRAME_MAX is refused before it is decoded. Received descriptors are close-on-exec.
"""

import array
import functools
import socket
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec

from contract.errors import UsageError

__all__ = ["FRAME_MAX", "Channel"]

FRAME_MAX = 256 * 1024
"""Largest message in bytes: a key exchange's input holds two KEXINIT packets (RFC 4253: 35000)."""
DESCRIPTORS_MAX = 4

Sent = TypeVar("Sent")
Received = TypeVar("Received")
_ENCODER = msgspec.msgpack.Encoder()


class Channel(Generic[Sent, Received]):
    """One end of a pair; `received` is the type (a tagged union) that comes in."""

    def __init__(self, end: socket.socket, received: Any) -> None:
        self.socket = end
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * FRAME_MAX)
        self._decoder: msgspec.msgpack.Decoder[Received] = _decoder(received)

    def fileno(self) -> int:
        """Return the descriptor, for select and event loops."""
        return self.socket.fileno()

    def send(self, message: Sent, descriptors: Sequence[int] = ()) -> None:
        """Send one message. Raises OSError (EPIPE, EAGAIN)."""
        data = _ENCODER.encode(message)
        ancillary = []
        if descriptors:
            rights = array.array("i", descriptors)
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights.tobytes())]
        self.socket.sendmsg([data], ancillary, socket.MSG_NOSIGNAL)

    def receive(self) -> tuple[Received, list[int]] | None:
        """Return the next message with its descriptors, or None at the end.

        Raises OSError (EAGAIN on a non-blocking socket), UsageError (FRAME_BAD) on anything that is
        not a message of the expected type; the descriptors of a refused message are closed.
        """
        space = socket.CMSG_SPACE(DESCRIPTORS_MAX * 4)
        flags = socket.MSG_CMSG_CLOEXEC
        data, ancillary, got, _ = self.socket.recvmsg(FRAME_MAX + 1, space, flags)
        descriptors = _descriptors(ancillary)
        if not data and not descriptors:
            return None
        cut = got & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
        try:
            return self._decoder.decode(b"" if cut else data), descriptors
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            for descriptor in descriptors:
                socket.close(descriptor)
            raise UsageError(f"message refused: {error}", code="FRAME_BAD") from error

    def close(self) -> None:
        """Close this end."""
        self.socket.close()


@functools.cache
def _decoder(received: Any) -> Any:
    """Return the decoder of a type: made once, before a process's children need it."""
    return msgspec.msgpack.Decoder(received)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return list(found)
