"""Sessions of one connection, on the monitor's side: started, shown, and seen to end."""

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import msgspec
from msgspec import structs

from admin.session.process import Task
from admin.ssh.frame import Channel
from admin.ssh.nursery import Spawner
from admin.ssh.policy import Admission
from admin.ssh.protocol import Ask_, Began, Denied, Grant, Granted
from contract.address import format_address
from contract.errors import SheltieError
from contract.rpc import SessionShown

__all__ = ["Client", "Sessions", "access_of"]


class Tell(Protocol):
    """Tells the operator of what happens in this connection."""

    def __call__(self, what: str, session: str = "", detail: str = "") -> None:
        """Tell."""


@dataclass(frozen=True)
class Client:
    """Both ends of a connection: the client's, then ours."""

    host: str
    port: int
    here: str
    here_port: int

    @property
    def connection(self) -> str:
        """The four words of SSH_CONNECTION."""
        return f"{self.host} {self.port} {self.here} {self.here_port}"


class Sessions:
    """Starts sessions with `spawner`, `most` at once. `last` is the house's, by user.

    Who asks has made sure that the mark is set. `at_end` hears that a session ended.
    """

    def __init__(
        self,
        spawner: Spawner,
        most: int,
        last: dict[str, str],
        client: Client,
        tell: Tell,
        at_end: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._spawner, self._most, self._last = spawner, most, last
        self._client, self._tell, self._at_end = client, tell, at_end
        self._starting = 0
        self.shown: dict[str, SessionShown] = {}

    @property
    def busy(self) -> bool:
        """Whether there is a session, or one is being started."""
        return bool(self.shown or self._starting)

    async def start(
        self,
        number: int,
        channel: "Channel[Grant, Ask_]",
        user: str,
        admission: Admission,
        agent: str,
    ) -> None:
        """Start a session with what `admission` allows, or deny it."""
        if len(self.shown) + self._starting >= self._most:
            _deny(number, channel)
            return
        options = admission.options
        name = secrets.token_hex(4)
        task = Task(
            user,
            self._client.connection,
            options.command,
            options.pty,
            self._last.get(user, ""),
            name,
            admission.look,
            agent,
        )
        self._starting += 1
        try:
            pidfd, report = await self._open(number, channel, task)
        except (SheltieError, OSError) as error:
            # Other sessions of this connection go on.
            self._tell("problem", detail=f"no session: {error}")
            _deny(number, channel)
            return
        finally:
            self._starting -= 1
        self._watch(name, user, admission, pidfd, report)

    async def _open(
        self, number: int, channel: "Channel[Grant, Ask_]", task: Task
    ) -> tuple[int, "Channel[Began, Began]"]:
        """Start the session process and hand its other ends to the listener, all but our own."""
        stream, errors = socket.socketpair(), socket.socketpair()
        control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours, report = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.ExitStack() as stack:
            for end in (*stream, *errors, *control, report):
                stack.enter_context(end)
            unless_kept = stack.enter_context(contextlib.ExitStack())
            unless_kept.enter_context(ours)
            inner = [end.fileno() for end in (stream[1], errors[1], control[1], report)]
            pidfd = await self._spawner.spawn(msgspec.msgpack.encode(task), inner)
            outer = [pair[0].fileno() for pair in (stream, errors, control)]
            try:
                channel.send(Granted(number, task.pty), outer)
            except OSError:
                os.close(pidfd)  # it sees its control channel end
                raise
            unless_kept.pop_all()
        ours.setblocking(False)  # noqa: FBT003  its only form
        return pidfd, Channel(ours, Began)

    def _watch(
        self,
        name: str,
        user: str,
        admission: Admission,
        pidfd: int,
        report: "Channel[Began, Began]",
    ) -> None:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        peer = format_address(self._client.host, self._client.port)
        key, access = admission.key.fingerprint, access_of(admission)
        self.shown[name] = SessionShown(name, user, since, peer, key, access=access)
        self._tell("session", name)

        def told() -> None:
            self._loop.remove_reader(report.fileno())
            self._note(name, report)
            report.close()

        def ended() -> None:
            if report.fileno() >= 0:
                told()
            self._loop.remove_reader(pidfd)
            os.close(pidfd)
            self.shown.pop(name, None)
            self._tell("session-end", name)
            self._at_end()

        self._loop.add_reader(report.fileno(), told)
        self._loop.add_reader(pidfd, ended)

    def _note(self, name: str, report: "Channel[Began, Began]") -> None:
        """Take down what a session says of itself: the one that knows, and no listener's word."""
        try:
            received = report.receive()
        except (OSError, SheltieError):
            return  # it ended before it began
        shown = self.shown[name]
        if received is not None:
            self.shown[name] = structs.replace(shown, tty=received[0].tty)
            if received[0].login:
                when = datetime.now(UTC).strftime("%a %b %d %H:%M:%S %Y UTC")
                self._last[shown.user] = f"{when} from {self._client.host}"


def access_of(admission: Admission) -> str:
    """Return the access level that people read."""
    return "look" if admission.look else "root"


def _deny(number: int, channel: "Channel[Grant, Ask_]") -> None:
    with contextlib.suppress(OSError):  # the listener is gone
        channel.send(Denied(number))
