"""One forwarded connection in the listener: bytes between a channel and a connected socket.

Either side may end its half and go on reading; the channel closes when both ended, or when the
socket broke. What does not fit waits, and whoever sent it with it.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

import asyncssh

from admin.ssh.gate import Gate

__all__ = ["WINDOW", "Tunnel"]

PIECE = 64 * 1024
WINDOW = 1024 * 1024
"""What a client may send ahead: 64 of these fit into a listener's memory."""
LINGER_SECONDS = 30
"""For the last bytes to a slow socket, once the client closed its channel."""


class Tunnel(asyncssh.SSHTCPSession[bytes]):
    """Moves bytes; `ended` is called once, when the channel closed."""

    def __init__(self, end: socket.socket, gate: Gate, ended: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        end.setblocking(False)  # noqa: FBT003  its only form
        self._end, self._gate, self._ended = end, gate, ended
        self._channel: Any = None
        self._pending = b""
        self._paused = False
        self._input_ended = self._output_ended = False
        self._closed = False

    def connection_made(self, chan: Any) -> None:
        """Take the channel."""
        self._channel = chan
        chan.set_write_buffer_limits(0, 0)
        self._gate.add(self)

    def session_started(self) -> None:
        """Begin to move bytes."""
        self._read_on()

    def data_received(self, data: bytes, datatype: Any) -> None:
        """Write to the socket; what does not fit waits, and the channel with it."""
        self._pending += data
        self._write_on()

    def eof_received(self) -> bool:
        """End our half of the socket; the channel stays open the other way."""
        self._input_ended = True
        self._write_on()
        return True

    def pause_writing(self) -> None:
        """Stop reading from the socket."""
        self._paused = True
        self._read_on()

    def resume_writing(self) -> None:
        """Go on reading from the socket."""
        self._paused = False
        self._read_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the socket go, once it took what the client sent before it closed."""
        self._channel = None
        self._read_on()
        if self._pending and exc is None:
            self._loop.call_later(LINGER_SECONDS, self.discard)
        else:
            self.discard()

    def gate_changed(self) -> None:
        """The connection's own buffer filled up or emptied."""
        self._read_on()

    def discard(self) -> None:
        """Close the socket; idempotent. For a channel that was never opened, too."""
        if self._closed:
            return
        self._closed = True
        self._gate.discard(self)
        self._loop.remove_reader(self._end.fileno())
        self._loop.remove_writer(self._end.fileno())
        self._end.close()
        self._ended()

    def _read_on(self) -> None:
        """Read exactly while nobody downstream is full."""
        if self._closed:
            return
        if self._channel is None or self._output_ended or self._paused or self._gate.shut:
            self._loop.remove_reader(self._end.fileno())
        else:
            self._loop.add_reader(self._end.fileno(), self._readable)

    def _readable(self) -> None:
        try:
            data = self._end.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            self._broke()
            return
        if data:
            self._channel.write(data)
            return
        self._output_ended = True
        self._read_on()
        self._channel.write_eof()
        self._finish()

    def _write_on(self) -> None:
        if self._closed:
            return
        try:
            while self._pending:
                sent = self._end.send(self._pending, socket.MSG_NOSIGNAL)
                self._pending = self._pending[sent:]
        except BlockingIOError:
            if self._channel is not None:
                self._channel.pause_reading()
            self._loop.add_writer(self._end.fileno(), self._write_on)
            return
        except OSError:
            self._broke()
            return
        self._loop.remove_writer(self._end.fileno())
        if self._channel is None:
            self.discard()
            return
        self._channel.resume_reading()
        # That may have brought more data and the end of it, and come back here: both still wait.
        if self._input_ended and not self._pending:
            with contextlib.suppress(OSError):  # it ended first
                self._end.shutdown(socket.SHUT_WR)
            self._finish()

    def _broke(self) -> None:
        """End both ways: the socket does neither any more."""
        self._pending = b""
        self._input_ended = self._output_ended = True
        self._read_on()
        self._loop.remove_writer(self._end.fileno())
        if self._channel is None:
            self.discard()
        else:
            self._channel.close()

    def _finish(self) -> None:
        if self._input_ended and self._output_ended and self._channel is not None:
            self._channel.close()  # after what is still in its buffer
