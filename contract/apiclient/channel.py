"""The WebSocket of one exec, seen from the client: opened blocking, then never blocking again."""

import contextlib
import socket
from collections import deque
from collections.abc import Iterator
from typing import Final, Self

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    RejectData,
    Request,
)
from wsproto.utilities import ProtocolError

from contract.apiclient.dial import dial
from contract.apiclient.failure import failure
from contract.errors import SheltieError, TimedOutError, UnavailableError

__all__ = ["Channel"]

OPENING_SECONDS: Final = 30.0
REFUSAL_MAX: Final = 4096
"""Bytes of a refusal's text that are read."""
_READ_SIZE: Final = 64 << 10


class Channel:
    """Events come in by `events`, messages go out by `send` and `flush`; `fileno` is for poll."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._frames = WSConnection(ConnectionType.CLIENT)
        self._outgoing = bytearray()
        self._early: deque[Event] = deque()

    @classmethod
    def open(cls, path: str) -> Self:
        """Open /exec at socket `path`. Raises SheltieError, RefusedError for a 403 among them."""
        channel = cls(dial(path))
        try:
            channel._open()
        except TimeoutError as error:
            channel.close()
            why = f"the host API did not open an exec in {OPENING_SECONDS:g} s"
            raise TimedOutError(why, code="API_TIMED_OUT") from error
        except (OSError, ProtocolError) as error:
            channel.close()
            raise _lost() from error
        except BaseException:
            channel.close()
            raise
        return channel

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    @property
    def pending(self) -> int:
        """Bytes that the socket has not taken yet."""
        return len(self._outgoing)

    @property
    def has_events(self) -> bool:
        """Whether something came that poll does not tell of: what followed the opening at once."""
        return bool(self._early)

    def send(self, event: Event) -> None:
        """Send a message as soon as the socket takes it."""
        try:
            self._outgoing += self._frames.send(event)
        except ProtocolError as error:
            raise _lost() from error
        self.flush()

    def flush(self) -> None:
        """Give the socket what it takes now. Raises UnavailableError (EXEC_LOST)."""
        try:
            while self._outgoing:
                del self._outgoing[: self._socket.send(self._outgoing)]
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            # The server hung up; what it said before is still to be read, and then its end.
            self._outgoing.clear()
        except OSError as error:
            raise _lost() from error

    def events(self) -> Iterator[Event]:
        """Read once and yield what came; pings are answered already.

        Raises UnavailableError (EXEC_LOST) at an end without a close.
        """
        if not self._early:
            self._read()
        while self._early:
            event = self._early.popleft()
            if isinstance(event, Ping):
                self.send(event.response())
            yield event

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def say_goodbye(self) -> None:
        """Send a close if the socket takes it at once, and hang up."""
        with contextlib.suppress(SheltieError):
            self.send(CloseConnection(code=1000))
        self.close()

    def _read(self) -> None:
        try:
            data = self._socket.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except TimeoutError:
            raise
        except OSError as error:
            raise _lost() from error
        if not data:
            raise _lost()
        try:
            self._frames.receive_data(data)
            self._early.extend(self._frames.events())
        except ProtocolError as error:
            raise _lost() from error

    def _open(self) -> None:
        self._socket.settimeout(OPENING_SECONDS)
        self._socket.sendall(self._frames.send(Request(host="localhost", target="/exec")))
        opened = False
        while not opened:
            self._read()
            while self._early and not opened:
                event = self._early.popleft()
                if isinstance(event, RejectConnection):
                    raise failure("GET", "/exec", event.status_code, self._refusal(event))
                opened = isinstance(event, AcceptConnection)
        self._socket.settimeout(0)  # never blocking again

    def _refusal(self, event: RejectConnection) -> bytes:
        text, finished = b"", not event.has_body
        while not finished and len(text) < REFUSAL_MAX:
            if not self._early:
                self._read()
            while self._early:
                part = self._early.popleft()
                if isinstance(part, RejectData):
                    text += bytes(part.data)
                    finished = finished or part.body_finished
        return text[:REFUSAL_MAX]


def _lost() -> UnavailableError:
    return UnavailableError("the host API hung up in the middle of an exec", code="EXEC_LOST")
