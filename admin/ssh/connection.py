"""One connection in the monitor: its judge, its listener, its sessions."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from admin.ssh.control import Event, Limits
from admin.ssh.forwarding import CLOSED, Forwarding
from admin.ssh.forwards import Forwards
from admin.ssh.frame import Channel
from admin.ssh.judge import Judge
from admin.ssh.limits import Outcome
from admin.ssh.nursery import Spawner
from admin.ssh.policy import Entry
from admin.ssh.protocol import (
    VERSION,
    Ask,
    Ask_,
    AskAgent,
    Closed,
    Ended,
    Exchange,
    Grant,
    Listen,
    Open,
    Proof,
    ProveKeys,
    Unlisten,
)
from admin.ssh.sessions import Client, Sessions, access_of
from contract.address import format_address
from contract.errors import SheltieError
from contract.rpc import SessionShown

__all__ = ["Connection", "House"]

ENDING_SECONDS = 2.0
"""How long a listener may take to end by itself once its connection is dropped."""
GREETINGS = (b"SSH-2.0-", b"SSH-1.99")
"""How a client begins (RFC 4253 section 4.2); both are of GREETING_SIZE."""
GREETING_SIZE = 8


@dataclass(frozen=True)
class House:
    """What all connections share. `more` asks the keys command, where there is one.

    `last` holds for each user what is told of the last interactive login since the door opened.
    """

    listeners: Spawner
    sessions: Spawner
    limits: Limits
    tell: Callable[[Event], None]
    more: Callable[[bytes], Awaitable[Sequence[Entry]] | None]
    logged_in: Callable[["Connection"], None]
    closed: Callable[["Connection", Outcome, str], None]
    last: dict[str, str]
    forwarding: Forwarding = CLOSED


class Connection:
    """Knows by descriptor who speaks; believes only its own judge.

    Until the peer has said that it speaks SSH it costs a descriptor and no process.
    """

    def __init__(
        self, peer: socket.socket, judge: Judge, house: House, there: tuple[str, int]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._peer, self._judge, self._house = peer, judge, house
        here = peer.getsockname()[:2]
        self.source = there[0]
        self.address = format_address(*there)
        self._task = b""
        self._channel: Channel[Grant, Ask_] | None = None
        self._pidfd = -1
        self._dropped = False
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: list[asyncio.TimerHandle] = []
        self._forwards: Forwards | None = None
        self._sessions = Sessions(
            house.sessions,
            house.limits.sessions,
            house.last,
            Client(*there, *here),
            self._tell,
            self._rest,
        )

    @property
    def shown(self) -> dict[str, SessionShown]:
        """Its sessions by their names."""
        return self._sessions.shown

    @property
    def live(self) -> bool:
        """Whether it was not dropped yet."""
        return not self._dropped

    @property
    def authenticated(self) -> bool:
        """Whether the mark is set."""
        return self._judge.login is not None

    def start(self, task: bytes) -> None:
        """Greet the peer, and wait until it greets; `task` is for its listener."""
        self._task = task
        self._peer.setblocking(False)  # noqa: FBT003  its only form
        try:
            self._peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, GREETING_SIZE)
            self._peer.send(VERSION + b"\r\n", socket.MSG_NOSIGNAL)
        except OSError as error:
            self.drop(f"it left: {error.strerror}")
            return
        self._loop.add_reader(self._peer.fileno(), self._spoke)
        if self._house.limits.grace:
            self._later(self._house.limits.grace, self._grace_over)

    def drop(self, why: str, outcome: Outcome = Outcome.LEFT) -> None:
        """Cut the peer off; its listener ends, by force if it must."""
        if self._dropped:
            return
        self._dropped = True
        for timer in self._timers:
            timer.cancel()
        self._loop.remove_reader(self._peer.fileno())
        with contextlib.suppress(OSError):  # the peer was faster
            self._peer.shutdown(socket.SHUT_RDWR)
        self._peer.close()
        if self._channel is not None:
            self._loop.remove_reader(self._channel.fileno())
            self._channel.close()
        if self._pidfd >= 0:
            self._await_end()
        if self._forwards is not None:
            self._forwards.close()
        if self.authenticated:
            outcome = Outcome.LOGGED_IN
            self._tell("closed", detail=why)
        elif self._judge.refused:
            outcome = outcome if outcome is Outcome.CRASHED else Outcome.FAILED
            self._tell_refusal()
        self._house.closed(self, outcome, why)

    def _tell(self, what: str, session: str = "", detail: str = "") -> None:
        login = self._judge.login
        user = login.user if login else ""
        key = login.admission.key.fingerprint if login else ""
        access = access_of(login.admission) if login else ""
        self._house.tell(Event(what, self.address, user, key, session, detail, access))

    def _tell_refusal(self) -> None:
        """Say why nobody was let in: one line for a connection, however many keys it tried."""
        last = self._judge.refused[-1]
        others = len({one.key for one in self._judge.refused} - {last.key})
        why = "; ".join(dict.fromkeys(one.why for one in self._judge.refused))
        why += f" ({others} other keys too)" if others else ""
        self._house.tell(Event("refused", self.address, last.user, last.key, detail=why))

    def _refuse(self, why: str) -> None:
        """End a connection for what it asked."""
        self._judge.refuse(why)
        self.drop(why, Outcome.FAILED)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._timers.append(self._loop.call_later(seconds, action))

    def _spoke(self) -> None:
        """Look at the peer's first bytes without taking them; an end of input wakes us too."""
        try:
            greeting = self._peer.recv(GREETING_SIZE, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError as error:
            self.drop(f"the connection broke: {error.strerror}")
            return
        if greeting not in GREETINGS:
            self.drop(*(("what came is no SSH", Outcome.GARBAGE) if greeting else ("it left",)))
            return
        self._loop.remove_reader(self._peer.fileno())
        self._peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        self._run(self._serve())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self) -> None:
        """Hand the peer to a listener of its own."""
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            self.drop(f"no listener: {error.strerror}")
            return
        ours.setblocking(False)  # noqa: FBT003  its only form
        channel: Channel[Grant, Ask_] = Channel(ours, Ask_)
        try:
            with theirs:
                descriptors = [self._peer.fileno(), theirs.fileno()]
                self._pidfd = await self._house.listeners.spawn(self._task, descriptors)
        except (SheltieError, OSError) as error:
            channel.close()
            self.drop(f"no listener: {error}")
            return
        if self._dropped:
            channel.close()
            self._await_end()
            return
        self._channel = channel
        self._loop.add_reader(channel.fileno(), self._readable)

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
            self.drop("no login within the grace time", Outcome.SILENT)

    def _rest(self) -> None:
        """End a connection without a session after a while, where limits say so."""
        if self._house.limits.unused and not self.shown and not self._dropped:
            self._later(self._house.limits.unused, self._unused)

    def _unused(self) -> None:
        if self._forwards is not None and self._forwards.busy:
            self._rest()
        elif not self._sessions.busy:
            self.drop("nothing is open in it")

    def _readable(self) -> None:
        assert self._channel is not None  # noqa: S101  its reader
        try:
            received = self._channel.receive()
            if received is None:
                self.drop("the listener ended without a word", Outcome.CRASHED)
                return
            message, descriptors = received
            for descriptor in descriptors:
                os.close(descriptor)  # a listener has nothing to hand over
            self._handle(message, self._channel)
        except BlockingIOError:
            return
        except (SheltieError, OSError) as error:
            self._refuse(str(error))

    def _handle(self, message: Ask_, channel: "Channel[Grant, Ask_]") -> None:
        match message:
            case Exchange():
                channel.send(self._judge.exchange(message))
            case ProveKeys():
                channel.send(self._judge.prove_keys(message))
            case Proof():
                self._judge.begin(message)
                self._run(self._prove(message, channel))
            case Ask(number):
                self._run(self._session(number, channel))
            case Open() | Listen() | AskAgent():
                self._run(self._forward(message, channel))
            case Unlisten(number) if self._forwards is not None:
                self._forwards.unlisten(number)
            case Closed() if self._forwards is not None:
                self._forwards.ended()
            case Unlisten() | Closed():
                self._refuse("refused to the listener: the end of what never began")
            case Ended(why):
                self.drop(why)

    async def _prove(self, message: Proof, channel: "Channel[Grant, Ask_]") -> None:
        """Judge one proof after the other: what a command says may take a while."""
        async with self._turn:
            asked = self._house.more(message.key) if self.live else None
            more = await asked if asked is not None else ()
            if not self.live:
                return  # meanwhile
            try:
                verdict = self._judge.prove(message, more)
                if self.authenticated:
                    self._house.logged_in(self)
                    self._tell("login", detail=self._certificate())
                    self._begin_forwards()
                    self._rest()
                channel.send(verdict)
            except (SheltieError, OSError) as error:
                self._refuse(str(error))

    def _certificate(self) -> str:
        login = self._judge.login
        name = login.admission.certificate if login else ""
        return f"certificate {name}" if name else ""

    def _begin_forwards(self) -> None:
        login = self._judge.login
        assert login is not None  # noqa: S101  the mark was just set
        house = self._house
        self._forwards = Forwards(
            house.forwarding,
            login.user,
            lambda: self._judge.narrow().options,
            house.sessions,
            lambda what, detail: self._tell(what, detail=detail),
        )

    async def _forward(
        self, message: Open | Listen | AskAgent, channel: "Channel[Grant, Ask_]"
    ) -> None:
        """Forward, but only on the mark that our own verification set."""
        if self._forwards is None:
            self._refuse("refused to the listener: a forward before authentication")
            return
        try:
            match message:
                case Open():
                    await self._forwards.open(message, channel)
                case Listen():
                    await self._forwards.listen(message, channel)
                case AskAgent():
                    await self._forwards.ask_agent(message, channel)
        except (SheltieError, OSError) as error:
            self.drop(str(error))

    async def _session(self, number: int, channel: "Channel[Grant, Ask_]") -> None:
        """Start a session, but only on the mark that our own verification set."""
        login = self._judge.login
        if login is None:
            self._refuse("refused to the listener: a session before authentication")
            return
        agent = self._forwards.agent if self._forwards else ""
        await self._sessions.start(number, channel, login.user, self._judge.narrow(), agent)


def _kill(pidfd: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
