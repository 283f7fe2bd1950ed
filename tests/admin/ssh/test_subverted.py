"""A listener that was taken over, played against a real connection of the monitor.

What it asks of the judge alone is in test_judge; here it speaks on its channel, beside another
connection, and looks for processes and descriptors.
"""

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from admin.session.process import Task as SessionTask
from admin.ssh.connection import Connection, House
from admin.ssh.control import Event, Limits
from admin.ssh.forwarding import CLOSED
from admin.ssh.frame import Channel
from admin.ssh.hostkeys import ED25519, HostKey, make
from admin.ssh.judge import Judge
from admin.ssh.limits import Outcome
from admin.ssh.policy import Entry, Policy
from admin.ssh.protocol import (
    VERSION,
    Ask,
    Ask_,
    AskAgent,
    Closed,
    Denied,
    Exchange,
    Grant,
    Granted,
    Listen,
    Open,
    Proof,
    ProveKeys,
    Proven,
    Signed,
    Unlisten,
    Verdict,
)
from tests.admin.ssh.test_judge import NOW, User, exchange


@dataclass
class Crib:
    """A nursery's twin: it starts nothing, and keeps what the child would get."""

    tasks: list[bytes] = field(default_factory=list)
    children: "list[subprocess.Popen[bytes]]" = field(default_factory=list)
    got: asyncio.Queue[list[int]] = field(default_factory=asyncio.Queue)

    async def spawn(self, task: bytes, descriptors: Sequence[int]) -> int:
        """Keep copies of the descriptors; a sleeping program stands for the child."""
        self.tasks.append(task)
        self.got.put_nowait([os.dup(one) for one in descriptors])
        return self.child()

    def child(self) -> int:
        """Start a child and return its pidfd."""
        self.children.append(subprocess.Popen(["sleep", "60"]))
        return os.pidfd_open(self.children[-1].pid)

    def close(self) -> None:
        """End the children, and close what they would have got."""
        for child in self.children:
            child.kill()
            child.wait()
        while not self.got.empty():
            for one in self.got.get_nowait():
                os.close(one)


@dataclass
class Played:
    """A connection of the monitor, and its listener in our hands."""

    client: socket.socket
    connection: Connection
    channel: "Channel[Ask_, Grant]"
    listeners: Crib
    sessions: Crib
    events: list[Event]
    ended: "asyncio.Future[tuple[Outcome, str]]"

    async def close(self) -> None:
        """Let everything go."""
        self.channel.close()
        self.client.close()
        self.connection.drop("the test is over")
        self.sessions.close()
        self.listeners.close()
        async with asyncio.timeout(10):
            await self.ended
        for _ in range(3):  # what was ended closes its descriptor
            await asyncio.sleep(0)

    async def end(self) -> tuple[Outcome, str]:
        """Wait until the monitor gave the connection up."""
        async with asyncio.timeout(10):
            return await self.ended

    async def ask(self, message: Ask_, descriptors: Sequence[int] = ()) -> Grant | None:
        """Ask the monitor and return its answer, or None when it hangs up."""
        self.channel.send(message, descriptors)
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self.channel.fileno(), readable.set)
        try:
            async with asyncio.timeout(10):
                await readable.wait()
        finally:
            loop.remove_reader(self.channel.fileno())
        try:
            received = self.channel.receive()
        except ConnectionResetError:
            return None
        if received is None:
            return None
        for one in received[1]:
            os.close(one)
        return received[0]


class Stage:
    """The monitor around connections that are played."""

    def __init__(self, directory: Path) -> None:
        self.user = User()
        self.key: HostKey = make(directory, ED25519, [])
        self.policy = Policy("op", [Entry(self.user.line)])
        self.limits = Limits(sessions=2)
        self.forwarding = CLOSED
        self.played: list[Played] = []

    async def connection(self) -> Played:
        """Open a connection whose listener is ours."""
        listening = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(listening.getsockname())
        peer, address = listening.accept()
        listening.close()
        listeners, sessions = Crib(), Crib()
        events: list[Event] = []
        ended: asyncio.Future[tuple[Outcome, str]] = asyncio.get_running_loop().create_future()
        house = House(
            listeners,
            sessions,
            self.limits,
            events.append,
            lambda _blob: None,
            lambda _one: None,
            lambda _one, outcome, why: ended.set_result((outcome, why)),
            {},
            self.forwarding,
        )
        judge = Judge([self.key], lambda: self.policy, lambda: NOW)
        connection = Connection(peer, judge, house, address)
        connection.start(b"")
        client.sendall(b"SSH-2.0-test\r\n")
        async with asyncio.timeout(10):
            copy, end = await listeners.got.get()
        os.close(copy)
        channel: Channel[Ask_, Grant] = Channel(socket.socket(fileno=end), Grant)
        self.played.append(Played(client, connection, channel, listeners, sessions, events, ended))
        return self.played[-1]

    async def logged_in(self) -> Played:
        """Open a connection and log in honestly."""
        played = await self.connection()
        signed = await played.ask(exchange(self.key.blob))
        assert isinstance(signed, Signed)
        assert await played.ask(self.user.proof(signed.hash)) == Verdict(1, accepted=True)
        return played


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Stage]:
    """A monitor's house."""
    stage = Stage(tmp_path)
    yield stage
    for played in stage.played:
        await played.close()


async def refused(played: Played, message: Ask_) -> None:
    """Ask for what must not be: the monitor hangs up, and nothing was started."""
    assert await played.ask(message) is None
    assert not played.connection.live
    assert played.sessions.tasks == []


async def test_an_honest_listener_gets_its_session(house: Stage) -> None:
    """The player of these attacks would get what it asked for, if it were allowed."""
    played = await house.logged_in()

    assert isinstance(await played.ask(Ask(2)), Granted)
    assert len(played.sessions.tasks) == 1


async def test_a_session_before_authentication(house: Stage) -> None:
    """No mark, no session: before and after the key exchange."""
    await refused(await house.connection(), Ask(1))
    played = await house.connection()
    await played.ask(exchange(house.key.blob))
    await refused(played, Ask(2))


async def test_another_connections_mark(house: Stage) -> None:
    """While one is logged in, its neighbour is not; and its proof is of no use there."""
    honest = await house.logged_in()
    assert honest.connection.authenticated
    played = await house.connection()
    signed = await played.ask(exchange(house.key.blob, rest=b"mine"))
    assert isinstance(signed, Signed)
    replayed = house.user.proof(b"the other session's id")
    assert await played.ask(replayed) == Verdict(1, accepted=False)
    await refused(played, Ask(2))


async def test_a_probe_for_a_proof(house: Stage) -> None:
    """A known key, claimed and not proven, starts nothing."""
    played = await house.connection()
    await played.ask(exchange(house.key.blob))
    assert await played.ask(Proof(1, "op", house.user.line.blob)) == Verdict(1, accepted=True)
    await refused(played, Ask(2))


async def test_another_user(house: Stage) -> None:
    """Signed for root, or claimed for root."""
    played = await house.connection()
    signed = await played.ask(exchange(house.key.blob))
    assert isinstance(signed, Signed)
    assert await played.ask(house.user.proof(signed.hash, "root")) == Verdict(1, accepted=False)
    await refused(played, Ask(2))


@pytest.mark.parametrize(
    "version", [b"SSH-2.0-OpenSSH_9.9", b"SSH-2.0-Sheltie2", b"", VERSION + b"\r"]
)
async def test_an_exchange_of_another_server(house: Stage, version: bytes) -> None:
    """It signs for nobody else."""
    await refused(await house.connection(), exchange(house.key.blob, version))


async def test_an_exchange_with_a_foreign_key(house: Stage) -> None:
    """Neither with a user's key nor with another server's."""
    await refused(await house.connection(), exchange(house.user.line.blob))


async def test_a_second_exchange_before_login(house: Stage) -> None:
    """The session id that users sign is the first one."""
    played = await house.connection()
    await played.ask(exchange(house.key.blob))
    await refused(played, exchange(house.key.blob, rest=b"again"))


async def test_a_second_login(house: Stage) -> None:
    """Nobody becomes somebody else."""
    played = await house.logged_in()
    await refused(played, house.user.proof(b"x"))


async def test_host_keys_proven_before_login(house: Stage) -> None:
    """The other request that signs waits for the mark too."""
    played = await house.connection()
    await played.ask(exchange(house.key.blob))
    await refused(played, ProveKeys(1, [house.key.blob]))


async def test_a_proof_of_host_keys_is_no_exchange(house: Stage) -> None:
    """What it signs starts with its own name and our own session id; a foreign key: nothing."""
    played = await house.logged_in()

    assert await played.ask(ProveKeys(1, [house.user.line.blob])) == Proven(1, [])
    proven = await played.ask(ProveKeys(2, [house.key.blob]))
    assert isinstance(proven, Proven)
    assert len(proven.signatures) == 1
    await refused(played, ProveKeys(3, [house.key.blob] * 33))


async def test_more_sessions_than_allowed(house: Stage) -> None:
    """MaxSessions counts those that are just being started, too."""
    played = await house.logged_in()
    answers = [await played.ask(Ask(number)) for number in range(4)]

    assert [type(one) for one in answers] == [Granted, Granted, Denied, Denied]
    assert len(played.sessions.tasks) == 2


async def test_a_session_that_cannot_be_started(
    house: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process is to be had: that session is denied, and the connection's others go on."""
    played = await house.logged_in()
    assert isinstance(await played.ask(Ask(1)), Granted)

    async def none(*_: object) -> int:
        raise OSError(11, "no process is left")

    with monkeypatch.context() as context:
        context.setattr(played.sessions, "spawn", none)
        assert await played.ask(Ask(2)) == Denied(2)
    assert played.connection.live
    assert isinstance(await played.ask(Ask(3)), Granted)
    assert [one.what for one in played.events] == ["login", "session", "problem", "session"]


async def test_more_tries_than_allowed(house: Stage) -> None:
    """Asked all at once, before any answer: still no more than MaxAuthTries."""
    played = await house.connection()
    signed = await played.ask(exchange(house.key.blob))
    assert isinstance(signed, Signed)
    for number in range(20):
        try:
            played.channel.send(User().proof(b"x", number=number))
        except OSError:
            break

    assert (await played.end())[0] is Outcome.FAILED
    assert not played.connection.authenticated


async def test_descriptors_of_the_listener_are_closed(house: Stage) -> None:
    """It has nothing to hand over: what it sends is closed unseen."""
    played = await house.connection()
    ends = socket.socketpair()
    assert isinstance(await played.ask(exchange(house.key.blob), [ends[0].fileno()]), Signed)
    ends[0].close()
    ends[1].settimeout(10)

    assert ends[1].recv(1) == b""
    ends[1].close()


@pytest.mark.parametrize(
    "junk",
    [b"\xc1", b"\x00", b"junk", b"\x91\xa3Ask", bytes(200_000), b"\xdd\xff\xff\xff\xff"],
)
async def test_junk_on_the_channel(house: Stage, junk: bytes) -> None:
    """What is no message ends the connection, and only that."""
    played = await house.connection()
    played.channel.socket.send(junk)
    await played.end()

    assert played.sessions.tasks == []


async def test_a_listener_that_dies_without_a_word_is_a_crash(house: Stage) -> None:
    """Somebody may look for a hole: the source pays, and the operator is told."""
    played = await house.connection()
    played.channel.close()

    assert await played.end() == (Outcome.CRASHED, "the listener ended without a word")


async def test_the_verdict_reaches_the_session_typed(house: Stage) -> None:
    """Command and terminal come from the key, not from the listener."""
    line = f'command="uptime",no-pty {house.user.line.text}'
    house.policy = Policy("op", [Entry.parse(line)])
    played = await house.logged_in()

    assert await played.ask(Ask(1)) == Granted(1, pty=False)
    task = msgspec.msgpack.decode(played.sessions.tasks[0], type=SessionTask)
    assert (task.user, task.command, task.pty) == ("op", "uptime", False)


def test_the_messages_carry_no_privilege() -> None:
    """What a listener can say has no field that names a right, a path or a descriptor."""
    kinds = (Exchange, Proof, ProveKeys, Ask, Open, Listen, AskAgent, Unlisten, Closed)
    fields = {name for kind in kinds for name in kind.__struct_fields__}

    assert fields == {
        "id", "hash", "algorithm", "key", "prefix", "rest", "user", "message", "signature", "keys",
        "host", "port",
    }  # fmt: skip
