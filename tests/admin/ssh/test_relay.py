"""The listener's pump, where the library calls it back in the middle of a call."""

import asyncio
import socket
from dataclasses import dataclass, field

from admin.ssh.gate import Gate
from admin.ssh.relay import Relay

PIECE = bytes(32768)


@dataclass
class Channel:
    """The library's channel, played: what it held back comes while reading is resumed."""

    held: list[bytes] = field(default_factory=list)
    ends: bool = False
    paused: bool = False
    relay: Relay | None = None

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        """Take note of nothing."""

    def pause_reading(self) -> None:
        """Hold back."""
        self.paused = True

    def resume_reading(self) -> None:
        """Deliver what was held back, and its end: as asyncssh does, paused anew or not."""
        assert self.relay is not None
        self.paused = False
        while self.held and not self.paused:
            self.relay.data_received(self.held.pop(0), None)
        if self.ends and not self.held:
            self.ends = False
            self.relay.eof_received()


async def test_the_end_does_not_overtake_the_last_bytes() -> None:
    """Data and its end arrive while the session is full: it sees every byte, then the end."""
    pairs = [socket.socketpair() for _ in range(2)]
    control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stream, session = pairs[0]
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    relay = Relay([one[0].detach() for one in (*pairs, control)], Gate())
    relay.connection_made(channel := Channel())
    channel.relay = relay
    relay.data_received(PIECE, None)
    assert channel.paused
    channel.held, channel.ends = [PIECE, PIECE], True
    loop, got = asyncio.get_running_loop(), 0
    session.setblocking(False)  # noqa: FBT003  its only form
    async with asyncio.timeout(20):
        while piece := await loop.sock_recv(session, 1000):
            got += len(piece)
    relay.connection_lost(None)
    for one in (session, pairs[1][1], control[1]):
        one.close()

    assert got == 3 * len(PIECE)
