"""One SSH session in the listener: bytes between the channel and the session process.

An own read-write-drain pump, because the library's redirection loses data with slow readers. The
exit status is sent when both streams ended and nothing is left in the channel's buffer: the library
would send it before buffered data.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

import asyncssh

from admin.ssh.frame import Channel
from admin.ssh.gate import Gate
from admin.ssh.idle import Idle
from admin.ssh.protocol import (
    Agent,
    Environment,
    Execute,
    Exited,
    Pty,
    Shell,
    Signal,
    Subsystem,
    ToSession,
    Window,
)
from contract.errors import UsageError

__all__ = ["Relay"]

PIECE = 256 * 1024
SUBSYSTEMS = frozenset({"sftp"})


class Relay(asyncssh.SSHServerSession[bytes]):
    """Hands requests on and moves bytes; holds no decision.

    `agent` tells whether the client's agent may be reached.
    """

    def __init__(
        self,
        descriptors: list[int],
        gate: Gate,
        *,
        pty: bool = True,
        idle: float = 0,
        agent: Callable[[], bool] = bool,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        stream, errors, control = (socket.socket(fileno=number) for number in descriptors)
        for one in (stream, errors, control):
            one.setblocking(False)  # noqa: FBT003  its only form
        self._stream, self._errors = stream, errors
        self._control: Channel[ToSession, Exited] = Channel(control, Exited)
        self._gate = gate
        self._pty = pty
        self._agent = agent
        self._idle = Idle(idle, self._warn, self._idled)
        self._open = {stream, errors}
        self._pending = b""
        self._input_ended = False
        self._paused = False
        self._exited: Exited | None = None
        self._channel: Any = None
        self._closed = False
        self._terminal = False

    def connection_made(self, chan: Any) -> None:
        """Take the channel."""
        self._channel = chan
        chan.set_write_buffer_limits(0, 0)
        self._gate.add(self)

    def pty_requested(self, term_type: Any, term_size: Any, term_modes: Any) -> bool:
        """Hand the terminal on, where the login may have one."""
        if not self._pty:
            return False
        self._terminal = True
        cols, rows = term_size[:2]
        return self._tell(Pty(str(term_type)[:64], rows, cols, dict(term_modes)))

    def shell_requested(self) -> bool:
        """Start the login shell."""
        return self._start(Shell())

    def exec_requested(self, command: str | bytes) -> bool:
        """Start a command."""
        return self._start(Execute(command if isinstance(command, bytes) else command.encode()))

    def subsystem_requested(self, subsystem: str) -> bool:
        """Start a subsystem that we know."""
        return subsystem in SUBSYSTEMS and self._start(Subsystem(subsystem))

    def session_started(self) -> None:
        """Begin to move bytes."""
        self._loop.add_reader(self._control.fileno(), self._told)
        self._read_on()
        self._idle.start()

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        """Hand the new size on."""
        self._tell(Window(height, width))

    def signal_received(self, signal: str) -> None:
        """Hand the signal on."""
        self._tell(Signal(signal))

    def break_received(self, msec: int) -> bool:
        """Interrupt the terminal: its master cannot send a break. No line, no break (RFC 4335)."""
        return self._terminal and self._tell(Signal("INT"))

    def data_received(self, data: bytes, datatype: Any) -> None:
        """Write to the session; what does not fit waits, and the channel with it."""
        self._idle.touch()
        self._pending += data
        self._write_on()

    def eof_received(self) -> bool:
        """End the session's input; the channel stays open the other way."""
        self._input_ended = True
        self._write_on()
        return True

    def pause_writing(self) -> None:
        """Stop reading from the session."""
        self._paused = True
        self._read_on()

    def resume_writing(self) -> None:
        """Go on reading from the session."""
        self._paused = False
        self._read_on()
        self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let everything go: the session process sees its control channel end."""
        if self._closed:
            return
        self._closed = True
        self._idle.stop()
        self._gate.discard(self)
        for one in (self._stream, self._errors, self._control):
            self._loop.remove_reader(one.fileno())
        self._loop.remove_writer(self._stream.fileno())
        for one in (self._stream, self._errors, self._control):
            one.close()

    def gate_changed(self) -> None:
        """The connection's own buffer filled up or emptied."""
        self._read_on()

    def _start(self, message: ToSession) -> bool:
        wanted = self._channel.get_environment()
        variables = {str(name)[:64]: str(value)[:1024] for name, value in list(wanted.items())[:64]}
        told = self._tell(Environment(variables))
        if told and self._agent():
            told = self._tell(Agent())
        return told and self._tell(message)

    def _tell(self, message: ToSession) -> bool:
        try:
            self._control.send(message)
        except OSError:
            return False
        return True

    def _told(self) -> None:
        try:
            received = self._control.receive()
        except BlockingIOError:
            return
        except (OSError, UsageError):
            received = None
        self._loop.remove_reader(self._control.fileno())
        self._exited = received[0] if received else Exited(status=255)
        self._finish()

    def _read_on(self) -> None:
        """Read from the session exactly while nobody downstream is full."""
        if self._closed:
            return
        flowing = not (self._paused or self._gate.shut)
        for one in (self._stream, self._errors):
            if flowing and one in self._open:
                self._loop.add_reader(one.fileno(), self._readable, one)
            else:
                self._loop.remove_reader(one.fileno())

    def _readable(self, source: socket.socket) -> None:
        try:
            data = source.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._idle.touch()
        if not data:
            self._open.discard(source)
            self._read_on()
            self._finish()
        elif source is self._errors:
            self._channel.write_stderr(data)
        else:
            self._channel.write(data)

    def _warn(self, left: float) -> None:
        """Tell a terminal that nothing happens in it; bytes of a command are left alone."""
        if self._terminal and not self._closed:
            self._channel.write(f"\r\nsheltie: idle, closed in {left:g} s\r\n".encode())

    def _idled(self) -> None:
        if not self._closed:
            self._channel.close()

    def _write_on(self) -> None:
        if self._closed:
            return
        try:
            while self._pending:
                sent = self._stream.send(self._pending, socket.MSG_NOSIGNAL)
                self._pending = self._pending[sent:]
        except BlockingIOError:
            self._channel.pause_reading()
            self._loop.add_writer(self._stream.fileno(), self._write_on)
            return
        except OSError:
            self._pending = b""  # the session reads no more
        self._loop.remove_writer(self._stream.fileno())
        self._channel.resume_reading()
        # That may have brought more data and the end of it, and come back here: both still wait.
        if self._input_ended and not self._pending:
            with contextlib.suppress(OSError):  # the session closed first
                self._stream.shutdown(socket.SHUT_WR)

    def _finish(self) -> None:
        """End the channel once the streams, the status and the buffer are all done."""
        if self._open or self._exited is None or self._closed:
            return
        if self._channel.get_write_buffer_size():
            return  # resume_writing tells
        exited, self._exited = self._exited, None
        self._channel.write_eof()
        if exited.signal:
            self._channel.exit_with_signal(exited.signal, exited.core)
        else:
            self._channel.exit(exited.status)
