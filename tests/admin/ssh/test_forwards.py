"""Forwards ill-treated: a listener that was taken over, slow ends, targets that are not there."""

import asyncio
import hashlib
import os
import pwd
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from admin.session import carry
from admin.ssh.blobs import string
from admin.ssh.forwarding import LISTENS_MAX, OPEN_MAX, TRIES_MAX, Forwarding
from admin.ssh.frame import Channel
from admin.ssh.policy import Entry, Policy
from admin.ssh.protocol import (
    Ask_,
    AskAgent,
    Closed,
    Denied,
    Grant,
    Listen,
    Listening,
    Open,
    Opened,
    Unlisten,
    Unreached,
)
from tests.admin.ssh.door import USER, Door, make_key
from tests.admin.ssh.raw import Raw
from tests.admin.ssh.test_confined import children
from tests.admin.ssh.test_defects import CHANNEL_OPEN, GLOBAL_REQUEST, WINDOW, operator
from tests.admin.ssh.test_subverted import Played, Stage, refused
from tests.interop.test_forwards import connected, digests, free_port, gone, running, serving

pytestmark = [pytest.mark.privileged, pytest.mark.timeout(180)]

ALL = Forwarding(local=True, remote=True, agent=True)
SIZE = 32 << 20
SECONDS = 60
TARGET = Open(5, "127.0.0.1", 9)
ASKS: tuple[Ask_, ...] = (TARGET, Listen(5, "", 0), AskAgent(5))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Stage]:
    """A monitor's house that forwards everything."""
    stage = Stage(tmp_path)
    stage.forwarding = ALL
    yield stage
    for one in carriers:
        one.close()
    carriers.clear()
    for played in stage.played:
        await played.close()


carriers: "list[Channel[carry.Carried, carry.Carried]]" = []
"""What a house's connections started: in our hands."""


async def carrier(played: Played) -> "Channel[carry.Carried, carry.Carried]":
    """Return the end of the carrier that the monitor started last."""
    async with asyncio.timeout(20):
        (end,) = await played.sessions.got.get()
    carriers.append(Channel(socket.socket(fileno=end), carry.Carried))
    return carriers[-1]


async def answered(played: Played) -> Grant:
    """Return the monitor's next word to the listener."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(played.channel.fileno(), readable.set)
    try:
        async with asyncio.timeout(20):
            await readable.wait()
    finally:
        loop.remove_reader(played.channel.fileno())
    received = played.channel.receive()
    assert received is not None
    for one in received[1]:
        os.close(one)
    return received[0]


async def opened(played: Played, number: int) -> Grant:
    """Have a connection opened, the carrier answering honestly; return what the monitor says."""
    played.channel.send(Open(number, "127.0.0.1", 9))
    one, other = socket.socketpair()
    (await carrier(played)).send(carry.Reached(), [one.fileno()])
    one.close()
    other.close()
    return await answered(played)


@pytest.mark.parametrize("ask", ASKS)
async def test_a_forward_before_authentication(house: Stage, ask: Ask_) -> None:
    """No mark, no forward."""
    await refused(await house.connection(), ask)


@pytest.mark.parametrize("ask", [Unlisten(5), Closed()])
async def test_the_end_of_what_never_began(house: Stage, ask: Ask_) -> None:
    """Before authentication that is no honest listener."""
    await refused(await house.connection(), ask)


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("by", ["user-data", "the key", "look"])
async def test_what_policy_refuses_is_not_opened(house: Stage, ask: Ask_, by: str) -> None:
    """The monitor asks nobody but its own policy: no process is started, the operator hears it."""
    if by == "user-data":
        house.forwarding = Forwarding()
    elif by == "look":
        house.policy = Policy("op", [Entry(house.user.line)], look=True)
    else:
        house.policy = Policy("op", [Entry.parse(f"restrict {house.user.line.text}")])
    played = await house.logged_in()

    assert await played.ask(ask) == Denied(5)
    assert played.sessions.tasks == []
    (told,) = [one for one in played.events if one.what == "forward-refused"]
    assert by.replace("look", "the key") in told.detail


async def test_only_the_permitted_target(house: Stage) -> None:
    """The permitopen of the key holds whatever the listener says."""
    line = f'permitopen="127.0.0.1:80",permitlisten="8080" {house.user.line.text}'
    house.policy = Policy("op", [Entry.parse(line)])
    played = await house.logged_in()

    for ask in (TARGET, Open(5, "localhost", 80), Listen(5, "localhost", 8081), Listen(5, "", 0)):
        assert await played.ask(ask) == Denied(5)
    assert played.sessions.tasks == []
    played.channel.send(Open(6, "127.0.0.1", 80))
    await carrier(played)
    task = msgspec.msgpack.decode(played.sessions.tasks[0], type=carry.Reach)
    assert task == carry.Reach("op", "127.0.0.1", 80)


async def test_no_more_at_once_than_allowed(house: Stage) -> None:
    """Asked for in one breath: each attempt is a process, and they are bounded."""
    played = await house.logged_in()
    answers = [Open(number, "127.0.0.1", 9) for number in range(TRIES_MAX + 20)]
    for ask in answers:
        played.channel.send(ask)
    denied = [await answered(played) for _ in range(20)]

    assert {type(one) for one in denied} == {Denied}
    assert len(played.sessions.tasks) == TRIES_MAX


async def test_no_more_open_than_allowed(house: Stage) -> None:
    """Until one of them ended."""
    played = await house.logged_in()
    for number in range(OPEN_MAX):
        assert await opened(played, number) == Opened(number)

    assert await played.ask(Open(99, "127.0.0.1", 9)) == Denied(99)
    played.channel.send(Closed())
    assert await opened(played, 100) == Opened(100)


async def test_no_more_ports_than_allowed(house: Stage) -> None:
    """Nor the same number twice."""
    played = await house.logged_in()
    for number in range(LISTENS_MAX):
        played.channel.send(Listen(number, "", 0))
        (await carrier(played)).send(carry.Stands(4000 + number))
        assert await answered(played) == Listening(number, 4000 + number)

    assert await played.ask(Listen(99, "", 0)) == Denied(99)
    played.channel.send(Unlisten(0))
    assert await played.ask(Listen(1, "", 0)) == Denied(1)


async def test_refusals_do_not_fill_the_log(house: Stage) -> None:
    """The first ones are told, then their number."""
    house.forwarding = Forwarding()
    played = await house.logged_in()
    for number in range(100):
        assert await played.ask(Open(number, "h", 1)) == Denied(number)
    played.connection.drop("over")
    told = [one.detail for one in played.events if one.what == "forward-refused"]

    assert len(told) == 21
    assert told[-1] == "80 more"


@pytest.mark.parametrize("word", [carry.Came(), carry.Stands(1), carry.Failed("no route"), None])
async def test_a_carrier_that_says_something_else(house: Stage, word: carry.Carried | None) -> None:
    """Or nothing and ends: the client hears that it could not be; the rest goes on."""
    played = await house.logged_in()
    played.channel.send(TARGET)
    one = await carrier(played)
    if word is None:
        one.close()
    else:
        one.send(word)

    assert isinstance(await answered(played), Unreached)
    assert isinstance(await opened(played, 6), Opened)


async def test_the_end_of_the_connection_ends_its_carriers(house: Stage) -> None:
    """Those that listen, and those that still try."""
    played = await house.logged_in()
    played.channel.send(Listen(1, "", 0))
    (await carrier(played)).send(carry.Stands(4000))
    await answered(played)
    played.channel.send(TARGET)
    await carrier(played)
    played.connection.drop("over")

    async with asyncio.timeout(20):
        for child in played.sessions.children:
            await asyncio.to_thread(child.wait)


def told(channel: "Channel[carry.Carried, carry.Carried]") -> carry.Carried:
    """Return the next word of a carrier; its descriptors are closed."""
    received = channel.receive()
    assert received is not None
    for one in received[1]:
        os.close(one)
    return received[0]


def carrying(
    task: carry.Reach | carry.Attend,
) -> "tuple[int, Channel[carry.Carried, carry.Carried]]":
    """Run a real carrier in a child; return its pid and the monitor's end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if not pid:
        try:
            # As in the zygote's child: of what the tests hold open, nothing.
            os.dup2(theirs.fileno(), 3)
            os.closerange(4, 1 << 16)
            carry.carry(task, [3])
        finally:
            os._exit(0)
    theirs.close()
    ours.settimeout(SECONDS)
    return pid, Channel(ours, carry.Carried)


def test_ports_are_the_login_users() -> None:
    """Not root's: neither what the kernel shows of the socket, nor what may be bound."""
    nobody = pwd.getpwnam("nobody")
    pid, channel = carrying(carry.Attend("nobody", "localhost", 0))
    stands = told(channel)
    assert isinstance(stands, carry.Stands)
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    owners = {row[7] for row in rows if row[1].endswith(f":{stands.port:04X}") and row[3] == "0A"}
    status = Path(f"/proc/{pid}/status").read_text()
    channel.close()
    os.waitpid(pid, 0)  # it ends when the monitor hangs up

    assert owners == {str(nobody.pw_uid)}
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status


@pytest.mark.parametrize(
    ("host", "words"),
    [("127.0.0.1", "refused"), ("no-such-host.invalid", "")],
)
def test_a_target_that_is_not_there(host: str, words: str) -> None:
    """The reason is told."""
    pid, channel = carrying(carry.Reach("nobody", host, free_port()))
    answer = told(channel)
    channel.close()
    os.waitpid(pid, 0)

    assert isinstance(answer, carry.Failed)
    assert words in answer.why


@pytest.fixture
async def door(door: Door) -> Door:
    """A door that forwards everything to whom its key allows it."""
    await door.configure(door.key, forwarding=ALL)
    return door


@pytest.mark.parametrize(
    ("options", "argv"),
    [
        ('permitopen="127.0.0.1:1"', ["-W", "127.0.0.1:2"]),
        ("no-port-forwarding", ["-W", "127.0.0.1:2"]),
        ('permitlisten="1025"', ["-R", "0:127.0.0.1:2", "true"]),
        ("restrict", ["-R", "0:127.0.0.1:2", "true"]),
    ],
)
async def test_a_keys_options_hold(
    door: Door, tmp_path: Path, options: str, argv: list[str]
) -> None:
    """With a real client, however much user-data allows."""
    identity, key = make_key(tmp_path, "bound")
    await door.configure(f"{options} {key}", forwarding=ALL)
    strict = ["-o", "ExitOnForwardFailure=yes"]
    done = await door.ssh(identity=identity, options=[*strict, *argv[:2]])

    assert done.code == 255
    assert (await door.wait_for("forward-refused")).detail.endswith("the key does not allow it")


@pytest.mark.parametrize("options", ["no-agent-forwarding", "restrict"])
async def test_a_key_without_the_agent(door: Door, tmp_path: Path, options: str) -> None:
    """The session starts all the same, and knows of none."""
    identity, key = make_key(tmp_path, "bound")
    await door.configure(f"{options} {key}", forwarding=ALL)
    argv = door.argv("echo ${SSH_AUTH_SOCK-none}", identity=identity, options=["-A"])
    process = await asyncio.create_subprocess_exec(
        "ssh-agent", *argv, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()

    assert out == b"none\n"


@pytest.mark.parametrize(
    "kind",
    [b"direct-streamlocal@openssh.com", b"tun@openssh.com", b"x11", b"auth-agent@openssh.com"],
)
async def test_nothing_else_comes_with_them(door: Door, kind: bytes) -> None:
    """Unix sockets, tunnels and displays stay refused."""
    with Raw(door.host, door.port).begin() as raw:
        raw.login(USER.encode(), operator(door))
        raw.send(CHANNEL_OPEN + string(kind) + WINDOW + string(b"/run/x") + string(b"") + bytes(4))
        answer = raw.receive(91, 92)
        assert answer is None or answer[0] == 92
    with Raw(door.host, door.port).begin() as raw:
        raw.login(USER.encode(), operator(door))
        raw.send(
            GLOBAL_REQUEST + string(b"streamlocal-forward@openssh.com") + b"\1" + string(b"/x")
        )
        assert raw.receive(81, 82) == b"\x52"


def listener_of(door: Door) -> int:
    """Return the pid of the one listener."""
    (pid,) = [
        pid
        for zygote in children(door.link._process.pid)
        for pid in children(zygote)
        if b"listen_zygote" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return pid


def memory(pid: int) -> int:
    """Return the private memory of a process in bytes."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    sizes = [int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_")]
    return sum(sizes) * 1024


async def test_a_slow_target_gets_every_byte(door: Door) -> None:
    """And the listener holds no more than its window meanwhile."""
    here = free_port()
    data = os.urandom(SIZE)
    seen: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    go = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        digest = hashlib.sha256()
        await go.wait()
        while piece := await reader.read(10_000):
            digest.update(piece)
        writer.close()
        seen.set_result(digest.hexdigest())

    async with (
        serving(serve) as there,
        running(*door.argv(options=["-N", "-L", f"{here}:127.0.0.1:{there}"])),
        connected(here) as (_, writer),
    ):
        await door.wait_for("forward", "open")
        before = memory(listener_of(door))
        writer.write(data)
        await stalled(writer)
        grown = memory(listener_of(door)) - before
        go.set()
        writer.write_eof()
        assert await seen == hashlib.sha256(data).hexdigest()

    assert grown < 4 << 20


async def stalled(writer: asyncio.StreamWriter) -> None:
    """Wait until what we send gets no further."""
    before, same = -1, 0
    async with asyncio.timeout(SECONDS):
        while same < 5:
            now = writer.transport.get_write_buffer_size()
            same = same + 1 if now == before else 0
            before = now
            await asyncio.sleep(0.1)
    assert before > 0


async def test_a_client_that_does_not_read_costs_little(door: Door) -> None:
    """A target that floods is read only as far as the client takes it; then every byte arrives."""
    here = free_port()
    data = os.urandom(SIZE)

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    async with (
        serving(serve) as there,
        running(*door.argv(options=["-N", "-L", f"{here}:127.0.0.1:{there}"])),
    ):
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.setblocking(False)  # noqa: FBT003  its only form
            loop = asyncio.get_running_loop()
            async with connected(here):
                pass  # it listens now
            await loop.sock_connect(slow, ("127.0.0.1", here))
            pid = listener_of(door)
            before, most = memory(pid), 0
            digest = hashlib.sha256()
            for _ in range(20):
                await asyncio.sleep(0.05)
                most = max(most, memory(pid))
            async with asyncio.timeout(SECONDS):
                while piece := await loop.sock_recv(slow, 65536):
                    digest.update(piece)

    assert digest.digest() == hashlib.sha256(data).digest()
    assert most - before < 4 << 20


async def test_a_target_that_breaks_ends_its_channel_only(door: Door) -> None:
    """The connection and its other forwards go on."""
    here, other = free_port(), free_port()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    async with serving(serve) as there, digests() as sound:
        both = ["-L", f"{here}:127.0.0.1:{there}", "-L", f"{other}:127.0.0.1:{sound}"]
        async with running(*door.argv(options=["-N", *both])):
            for _ in range(3):
                async with connected(here) as (reader, writer):
                    writer.write(b"x" * 1000)
                    assert await reader.read() == b""
            async with connected(other) as (reader, writer):
                writer.write_eof()
                assert await reader.read() == hashlib.sha256(b"").hexdigest().encode()


async def test_the_end_of_the_server_leaves_no_port_and_no_directory(door: Door) -> None:
    """Also when nobody logged out before."""
    port = free_port()
    agents = Path("/run/sheltie/agents")
    argv = door.argv(
        "echo $SSH_AUTH_SOCK; exec sleep 600", options=["-A", "-R", f"{port}:127.0.0.1:1"]
    )
    async with running("ssh-agent", *argv) as process:
        assert process.stdout is not None
        async with asyncio.timeout(SECONDS):
            path = Path((await process.stdout.readline()).decode().strip())
        assert path.parent.parent == agents
        assert await asyncio.to_thread(path.exists)
        async with connected(port):
            pass
        await door.link.close()
        await gone(port)

        assert not await asyncio.to_thread(path.parent.exists)
