"""One connection in the monitor: its judge, its listener, its sessions."""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from admin.session.process import Task as SessionTask
from admin.ssh.control import Event
from admin.ssh.frame import Channel
from admin.ssh.judge import SESSIONS_MAX, Judge
from admin.ssh.nursery import Nursery
from admin.ssh.protocol import Ask, Ask_, Denied, Ended, Exchange, Grant, Granted, Proof
from contract.address import format_address
from contract.errors import SheltieError
from contract.rpc import SessionShown

__all__ = ["Connection"]

ENDING_SECONDS = 2.0
"""How long a listener may take to end by itself once its connection is dropped."""


class Connection:
    """Knows by descriptor who speaks; believes only its own judge."""

    def __init__(
        self,
        peer: socket.socket,
        judge: Judge,
        sessions: Nursery,
        tell: Callable[[Event], None],
        closed: Callable[["Connection"], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._peer, self._judge = peer, judge
        self._nursery, self._tell, self._closed = sessions, tell, closed
        here, there = peer.getsockname()[:2], peer.getpeername()[:2]
        self.address = format_address(*there)
        self._connection = f"{there[0]} {there[1]} {here[0]} {here[1]}"
        ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)  # noqa: FBT003  its only form
        self._channel: Channel[Grant, Ask_] = Channel(ours, Ask_)
        self._pidfd = -1
        self._dropped = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.shown: dict[str, SessionShown] = {}

    @property
    def authenticated(self) -> bool:
        """Whether the mark is set."""
        return self._judge.login is not None

    async def start(self, nursery: Nursery, task: bytes, grace: float) -> None:
        """Hand the peer to a listener of its own. Raises UnavailableError."""
        with self._theirs as theirs:
            self._pidfd = await nursery.spawn(task, [self._peer.fileno(), theirs.fileno()])
        self._loop.add_reader(self._channel.fileno(), self._readable)
        self._loop.call_later(grace, self._grace_over)

    def drop(self, why: str) -> None:
        """Cut the peer off; its listener ends, by force if it must."""
        if self._dropped:
            return
        self._dropped = True
        self._loop.remove_reader(self._channel.fileno())
        with contextlib.suppress(OSError):  # the peer was faster
            self._peer.shutdown(socket.SHUT_RDWR)
        self._peer.close()
        self._channel.close()
        self._tell(Event("closed", self.address, detail=why))
        if self._pidfd >= 0:
            self._await_end()
        self._closed(self)

    def _await_end(self) -> None:
        pidfd = self._pidfd
        killer = self._loop.call_later(ENDING_SECONDS, _kill, pidfd)

        def ended() -> None:
            killer.cancel()
            self._loop.remove_reader(pidfd)
            os.close(pidfd)

        self._loop.add_reader(pidfd, ended)

    def _grace_over(self) -> None:
        if not self.authenticated:
            self.drop("no login within the grace time")

    def _readable(self) -> None:
        try:
            received = self._channel.receive()
            if received is None:
                self.drop("the listener ended")
                return
            message, descriptors = received
            for descriptor in descriptors:
                os.close(descriptor)  # a listener has nothing to hand over
            self._handle(message)
        except BlockingIOError:
            return
        except (SheltieError, OSError) as error:
            self._tell(Event("refused", self.address, detail=str(error)))
            self.drop(str(error))

    def _handle(self, message: Ask_) -> None:
        match message:
            case Exchange():
                self._channel.send(self._judge.exchange(message))
            case Proof():
                self._prove(message)
            case Ask(number):
                task = self._loop.create_task(self._session(number))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case Ended(why):
                self.drop(why)

    def _prove(self, message: Proof) -> None:
        before = self._judge.login
        verdict = self._judge.prove(message)
        self._channel.send(verdict)
        login = self._judge.login
        if login is not None and before is None:
            fingerprint = login.key.fingerprint
            self._tell(Event("login", self.address, login.user, fingerprint))
        elif message.message:
            self._tell(Event("refused", self.address, detail=self._judge.refused[-1]))

    async def _session(self, number: int) -> None:
        """Start a session, but only on the mark that our own verification set."""
        login = self._judge.login
        if login is None:
            self.drop("a session before authentication")
            return
        if len(self.shown) >= SESSIONS_MAX:
            self._channel.send(Denied(number))
            return
        stream, errors = socket.socketpair(), socket.socketpair()
        control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        task = msgspec.msgpack.encode(SessionTask(login.user, self._connection))
        with contextlib.ExitStack() as stack:
            for pair in (stream, errors, control):
                for end in pair:
                    stack.enter_context(end)
            inner = [pair[1].fileno() for pair in (stream, errors, control)]
            try:
                pidfd = await self._nursery.spawn(task, inner)
                outer = [pair[0].fileno() for pair in (stream, errors, control)]
                self._channel.send(Granted(number), outer)
            except (SheltieError, OSError) as error:
                self.drop(str(error))
                return
        self._watch(pidfd, login.user, login.key.fingerprint)

    def _watch(self, pidfd: int, user: str, key: str) -> None:
        name = secrets.token_hex(4)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        self.shown[name] = SessionShown(name, user, since, self.address, key)
        self._tell(Event("session", self.address, user, key, name))

        def ended() -> None:
            self._loop.remove_reader(pidfd)
            os.close(pidfd)
            self.shown.pop(name, None)
            self._tell(Event("session-end", self.address, user, key, name))

        self._loop.add_reader(pidfd, ended)


def _kill(pidfd: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
