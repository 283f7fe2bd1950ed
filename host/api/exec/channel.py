"""Whole WebSocket messages to and from an exec client, over wsproto's frames.

Reading never waits for writing: a client that does not read is still heard, and what is written
on its account (pongs, pings) is bounded by leaving it out while the buffer is full.
"""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Sequence
from typing import Final

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import (
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    TextMessage,
)

from contract.execwire import HEARTBEAT_TIMEOUT_SECONDS, MESSAGE_MAX

__all__ = ["Channel", "ClientGoneError", "ClosingError"]

REASON_MAX: Final = 123
"""Longest reason in bytes: a control frame holds 125, two are the code (RFC 6455 section 5.5)."""
BUFFER_MAX: Final = 64 << 10
"""Bytes waiting to be sent above which pongs and pings are left out."""
LINGER_SECONDS: Final = HEARTBEAT_TIMEOUT_SECONDS
"""How long a client may be silent before it confirms a close."""
_READ_SIZE: Final = 64 << 10


class ClosingError(Exception):
    """The conversation ends with this close code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class ClientGoneError(Exception):
    """The client closed, vanished, or was silent for too long."""


class Channel:
    """One WebSocket after its opening; `rest` is what came behind it already."""

    def __init__(self, reader: StreamReader, writer: StreamWriter, rest: bytes = b"") -> None:
        self._reader = reader
        self._writer = writer
        self._frames = Connection(ConnectionType.SERVER, trailing_data=rest)
        self.heard = asyncio.get_running_loop().time()

    async def messages(self) -> AsyncIterator[str | bytes]:
        """Yield the client's messages. Ends by ClosingError or ClientGoneError, never by itself."""
        message = _Message()
        while True:
            for event in self._frames.events():
                match event:
                    case TextMessage() | BytesMessage():
                        if message.add(event):
                            yield message.take()
                    case Ping():
                        self._heard()
                        self._send_if_room(event.response())
                    case Pong():
                        self._heard()
                    case CloseConnection():
                        await self._answer_close(event)
                    case _:
                        pass
            await self._read()

    async def send(self, messages: Sequence[str | bytes]) -> None:
        """Send messages, and wait while the client is slow. Raises ClientGoneError."""
        if self._frames.state is not ConnectionState.OPEN:
            raise ClientGoneError
        self._writer.write(b"".join(map(self._encode, messages)))
        try:
            await self._writer.drain()
        except ConnectionError as error:
            raise ClientGoneError from error

    def ping(self) -> None:
        """Send an empty ping unless the client has more than enough to read."""
        self._send_if_room(Ping())

    async def close(self, code: int, reason: str) -> None:
        """Send a close, and wait until the client confirms it or is silent for too long.

        A slow client still has output to read before it comes to the close.
        """
        if self._frames.state is not ConnectionState.OPEN:
            return
        text = reason.encode("utf-8", "replace")[:REASON_MAX].decode("utf-8", "ignore")
        self._writer.write(self._frames.send(CloseConnection(code, text)))
        try:
            while not self._closed:
                for _ in self._frames.events():
                    pass
                async with asyncio.timeout(LINGER_SECONDS):
                    await self._read()
        except (ClientGoneError, ConnectionError, TimeoutError):
            pass

    @property
    def _closed(self) -> bool:
        return self._frames.state is ConnectionState.CLOSED

    async def _read(self) -> None:
        try:
            data = await self._reader.read(_READ_SIZE)
        except ConnectionError as error:
            raise ClientGoneError from error
        if not data:
            raise ClientGoneError
        self._frames.receive_data(data)

    async def _answer_close(self, event: CloseConnection) -> None:
        # wsproto says in the same way that the client closed and that it broke the protocol.
        if self._frames.state is ConnectionState.REMOTE_CLOSING:
            self._writer.write(self._frames.send(event.response()))
            raise ClientGoneError
        raise ClosingError(int(event.code), event.reason or "")

    def _encode(self, message: str | bytes) -> bytes:
        if isinstance(message, str):
            return self._frames.send(TextMessage(message))
        return self._frames.send(BytesMessage(message))

    def _heard(self) -> None:
        self.heard = asyncio.get_running_loop().time()

    def _send_if_room(self, event: Event) -> None:
        if (
            self._frames.state is ConnectionState.OPEN
            and self._writer.transport.get_write_buffer_size() <= BUFFER_MAX
        ):
            self._writer.write(self._frames.send(event))


class _Message:
    """A message of one frame, which may come in pieces."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, event: TextMessage | BytesMessage) -> bool:
        """Add a piece and return whether the message is whole. Raises ClosingError."""
        if event.frame_finished and not event.message_finished:
            raise ClosingError(1003, "Continuation messages not supported")
        self._size += len(event.data)
        if self._size > MESSAGE_MAX:
            raise ClosingError(1009, f"message larger than {MESSAGE_MAX} bytes")
        if isinstance(event, TextMessage):
            self._texts.append(event.data)
        else:
            self._parts.append(bytes(event.data))
        return event.message_finished

    def take(self) -> str | bytes:
        """Return the whole message and begin anew."""
        message = "".join(self._texts) if self._texts else b"".join(self._parts)
        self._texts, self._parts, self._size = [], [], 0
        return message
