"""The session process: requests from the control channel, bytes through the pump, one exit."""

import contextlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence

import msgspec

from admin.end import deputies
from admin.end.ending import end
from admin.end.marks import Marks
from admin.ledger.client import Watched
from admin.session import account, terminal, touch
from admin.session.pump import Flow, Pump
from admin.session.reaper import Reaper
from admin.session.signals import SIGNALS, name_of
from admin.session.start import SUBSYSTEMS, Program, start
from admin.ssh.frame import Channel
from admin.ssh.protocol import (
    Agent,
    Began,
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

__all__ = ["Session", "Task", "work"]

REQUEST_SECONDS = 120
"""How long a client may leave an open session without a request for a program."""
HANGUP_SECONDS = 0.8
"""Between HUP and the end of everybody when the client is lost."""
LEAVE_SECONDS = 10
"""How long the listener may take to fetch the last bytes."""


class Task(msgspec.Struct, tag="Session", frozen=True):
    """What a session is told: the login user, and both addresses for SSH_CONNECTION.

    `command` is forced by the key or its certificate, whatever the client asks for; without `pty`
    there is no terminal. `last` tells an interactive login of the one before. `session` is the
    monitor's name for it; with `look` all that runs is a look. `agent` is where the client's agent
    is reached, if the client wants that.
    """

    user: str
    connection: str
    command: str | None = None
    pty: bool = True
    last: str = ""
    session: str = ""
    look: bool = False
    agent: str = ""


def work(task: Task, descriptors: Sequence[int]) -> int:
    """Run one session.

    Descriptors are the stream, the error stream, the control channel, the monitor's to report to.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)  # until a program runs, they just end us
    Session(task, *(socket.socket(fileno=number) for number in descriptors)).run()
    return 0


class Session:
    """One session from its first request to its exit."""

    def __init__(
        self,
        task: Task,
        stream: socket.socket,
        errors: socket.socket,
        control: socket.socket,
        report: socket.socket,
    ) -> None:
        self._task = task
        self._account = account.find(task.user)
        self._stream, self._errors = stream, errors
        self._control: Channel[Exited, ToSession] = Channel(control, ToSession)
        self._report: Channel[Began, Began] = Channel(report, Began)
        self._pty: Pty | None = None
        self._wanted: dict[str, str] = {}
        self._agent = ""
        self._original: str | None = None
        self._master = -1
        self._pid = 0
        self._reaper = Reaper()
        self._marks = Marks(os.getpid())
        self._since: deputies.Moment | None = None
        self._ledger: Watched | None = None
        self._exited: Exited | None = None
        self._lost = False
        self._outputs = 0
        self._pump = Pump()

    def run(self) -> None:
        """Take requests until there is a program, run it, and tell how it ended."""
        program = self._await_program()
        if program is None:
            return
        if not self._task.look:
            touch.tell()
        self._start(program)
        self._tell_monitor(program)
        self._pump.watch(self._control.fileno(), self._request)
        self._pump.watch(self._reaper.fileno(), self._note_end)
        while not self._lost and (self._exited is None or self._outputs):
            self._pump.turn(None)
        if self._lost and self._exited is None:
            self._hang_up()
        if self._pty is None:
            # Nobody reads what we say: the client need not wait for what we do afterwards.
            self._tell_exit()
        for line in self._end():
            self._say(line)
        if self._pty is not None:
            self._tell_exit()
        self._await_leave()

    def _await_program(self) -> Program | None:
        deadline = time.monotonic() + REQUEST_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self._control.fileno()], [], [], left)[0]:
                return None
            message = self._next()
            match message:
                case Pty() if self._task.pty:
                    self._pty = message
                case Environment(variables):
                    self._wanted = variables
                case Agent():
                    self._agent = self._task.agent
                case Shell() | Execute() | Subsystem() if self._task.command is not None:
                    return self._forced(message, self._task.command)
                case Shell() | Execute() | Subsystem():
                    return self._asked(message)
                case None:
                    return None
                case _:
                    continue  # a window change before there is a window
        return None

    def _asked(self, message: Shell | Execute | Subsystem) -> Program:
        tty, look = self._pty is not None, self._task.look
        match message:
            case Shell():
                return (
                    Program.look("shell", tty=tty)
                    if look
                    else Program.shell(self._account, tty=tty)
                )
            case Execute(command):
                return self._command(command)
            case Subsystem(name):
                path = SUBSYSTEMS[name]
                return Program.look(name) if look else Program(path, [path])

    def _command(self, command: bytes) -> Program:
        if self._task.look:
            return Program.look("command", command)
        return Program.command(self._account, command)

    def _forced(self, message: Shell | Execute | Subsystem, command: str) -> Program:
        """Run the forced command; what was asked for goes to SSH_ORIGINAL_COMMAND (sshd(8))."""
        match message:
            case Execute(asked):
                self._original = os.fsdecode(asked)
            case Subsystem(name):
                self._original = SUBSYSTEMS[name]
        return self._command(command.encode())

    def _start(self, program: Program) -> None:
        self._reaper.listen()
        self._marks = Marks.make(self._account.uid, self._task.session)
        self._since = deputies.now()
        for lack in self._marks.lacking:
            self._say(f"its end may miss somebody: {lack}")
        if not self._task.look:
            with contextlib.suppress(OSError):  # there is no ledger
                root = not self._account.uid
                self._ledger = Watched(self._marks, self._account.user, root=root)
        with self._marks.inside():
            if self._pty is not None:
                self._start_on_terminal(program, self._pty)
            else:
                self._start_on_pipes(program)
        self._reaper.watch(self._pid)

    def _tell_monitor(self, program: Program) -> None:
        with contextlib.suppress(OSError):  # it ended, and the listener with it
            self._report.send(Began(tty=self._pty is not None, login=program.greeted))
        self._report.close()

    def _variables(self, tty: str = "") -> dict[str, str]:
        term = self._pty.term if self._pty else ""
        connection = self._task.connection
        variables = account.environment(
            self._account, self._wanted, term=term, tty=tty, connection=connection
        )
        if self._agent:
            variables["SSH_AUTH_SOCK"] = self._agent
        if self._original is not None:
            variables["SSH_ORIGINAL_COMMAND"] = self._original
        return variables

    def _start_on_terminal(self, program: Program, pty: Pty) -> None:
        master, slave, name = terminal.make(pty.modes, pty.rows, pty.cols, self._account.uid)
        slaves = (slave, slave, slave)
        self._pid = start(
            program, self._account, self._variables(name), slaves, tty=True, last=self._task.last
        )
        os.close(slave)
        self._master = master
        self._errors.close()
        self._unblock(master, self._stream.fileno())
        stream = self._stream.fileno()
        self._outputs = 1
        self._pump.flows = [
            Flow(stream, master, _nothing),
            Flow(master, stream, self._output_ended),
        ]

    def _start_on_pipes(self, program: Program) -> None:
        # Pipes and no sockets: bash takes a socket on stdin for rshd and reads ~/.bashrc.
        (read_in, into), (out, write_out), (err, write_err) = os.pipe(), os.pipe(), os.pipe()
        theirs = (read_in, write_out, write_err)
        self._pid = start(program, self._account, self._variables(), theirs, tty=False)
        for descriptor in theirs:
            os.close(descriptor)
        stream, errors = self._stream.fileno(), self._errors.fileno()
        self._unblock(into, out, err, stream, errors)
        self._outputs = 2
        self._pump.flows = [
            Flow(stream, into, lambda: os.close(into)),
            Flow(out, stream, lambda: self._stream_ended(self._stream)),
            Flow(err, errors, lambda: self._stream_ended(self._errors)),
        ]

    def _unblock(self, *descriptors: int) -> None:
        for descriptor in descriptors:
            os.set_blocking(descriptor, False)

    def _stream_ended(self, stream: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the listener is gone already
            stream.shutdown(socket.SHUT_WR)
        self._output_ended()

    def _output_ended(self) -> None:
        self._outputs -= 1

    def _next(self) -> ToSession | None:
        try:
            received = self._control.receive()
        except (OSError, UsageError):
            return None
        return received[0] if received else None

    def _request(self) -> None:
        match self._next():
            case Window(rows, cols) if self._master >= 0:
                terminal.resize(self._master, rows, cols)
            case Signal(name) if name in SIGNALS:
                self._signal(signal.Signals[f"SIG{name}"])
            case None:
                self._lost = True
            case _:
                pass  # a request out of place is not an end

    def _signal(self, number: signal.Signals) -> None:
        """Signal what runs in the foreground of the terminal, or the program's process group."""
        if self._exited is not None:
            return
        group = self._pid
        if self._master >= 0:
            with contextlib.suppress(OSError):  # no foreground group any more
                group = os.tcgetpgrp(self._master)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)

    def _signal_group(self, *numbers: signal.Signals) -> None:
        """Signal what is left of the program's process group."""
        for number in numbers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._pid, number)

    def _note_end(self) -> None:
        """Reap; note how the program ended; on a terminal also fetch what it printed last."""
        self._reaper.collect()
        self._lost |= self._reaper.asked
        status = self._reaper.status
        if status is None or self._exited is not None:
            return
        if os.WIFSIGNALED(status):
            name = name_of(os.WTERMSIG(status))
            self._exited = Exited(signal=name, core=os.WCOREDUMP(status))
        else:
            self._exited = Exited(status=os.WEXITSTATUS(status))
        if self._master >= 0:
            # Others may hold the terminal open for ever; the program's own words are all there.
            self._pump.flows[1].drain()
            self._pump.flows[1].end()

    def _tell_exit(self) -> None:
        if self._exited is None:
            return
        with contextlib.suppress(OSError):  # the listener is gone already
            self._stream.shutdown(socket.SHUT_WR)
            self._control.send(self._exited)

    def _await_leave(self) -> None:
        """Let the listener fetch the last bytes."""
        if self._exited is None:
            return
        deadline = time.monotonic() + LEAVE_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self._control.fileno()], [], [], left)[0] or not self._next():
                break

    def _hang_up(self) -> None:
        """The client is lost: HUP, as a terminal that was hung up sends it."""
        self._close_terminal()
        self._signal_group(signal.SIGHUP, signal.SIGCONT)
        deadline = time.monotonic() + HANGUP_SECONDS
        while self._reaper.status is None and (left := deadline - time.monotonic()) > 0:
            select.select([self._reaper.fileno()], [], [], left)
            self._reaper.collect()

    def _end(self) -> list[str]:
        """End all that the session started, wherever it went; return what people should know."""
        self._close_terminal()
        left = end(self._marks)
        lines = [f"CANNOT BE ENDED: {one.name} ({one.pid}) hangs in the kernel" for one in left]
        lines += [one.line() for one in deputies.since(self._since)] if self._since else []
        return lines + (self._ledger.end() if self._ledger else [])

    def _close_terminal(self) -> None:
        """Hang the terminal up: the kernel tells whoever stands on it."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def _say(self, line: str) -> None:
        """Tell the log, and whoever sits at the terminal."""
        sys.stderr.write(f"session of {self._account.user}: {line}\n")
        if self._pty is not None and not self._lost:
            with contextlib.suppress(OSError):  # the listener is gone already
                self._stream.send(f"sheltie: {line}\r\n".encode(errors="replace"))


def _nothing() -> None:
    """A terminal has no end of input: the client's end of file says nothing to it."""
