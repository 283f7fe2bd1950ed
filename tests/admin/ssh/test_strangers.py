"""Floods, silence and slowness on the real port, and honest logins beside them."""

import asyncio
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from msgspec import structs

from admin.ssh.control import Limits
from tests.admin.ssh.door import Door, make_key
from tests.admin.ssh.raw import Raw
from tests.admin.ssh.test_confined import children

pytestmark = [pytest.mark.privileged, pytest.mark.timeout(120)]

SOAK = bool(os.environ.get("SHELTIE_SOAK"))
RACES = 1000 if SOAK else 300


def connect(door: Door, source: str = "127.0.0.1") -> socket.socket:
    """Open a connection from an address of the loopback network."""
    return socket.create_connection((door.host, door.port), 10, (source, 0))


@contextmanager
def silent(door: Door, count: int, source: str) -> Iterator[list[socket.socket]]:
    """Hold connections that say nothing."""
    held = [connect(door, source) for _ in range(count)]
    yield held
    for one in held:
        one.close()


def descriptors(door: Door) -> int:
    """Return how many descriptors the monitor holds."""
    return len(list(Path(f"/proc/{door.link._process.pid}/fd").iterdir()))


async def settle(door: Door, before: int) -> int:
    """Wait until the monitor's descriptors are no more than before; return how many there are."""
    for _ in range(100):
        if descriptors(door) <= before:
            break
        await asyncio.sleep(0.05)
    return descriptors(door)


async def test_forty_logins_at_once(door: Door) -> None:
    """From one address, all started at the same time: every one gets in."""
    done = await asyncio.gather(*(door.ssh("echo in") for _ in range(40)))

    assert [one.out for one in done] == [b"in\n"] * 40


async def test_a_flood_of_silence_locks_nobody_out(door: Door) -> None:
    """A thousand silent sockets from one source; a login from another one waits for none of them.

    Under a second on an idle machine; here beside what a login takes without them, on this one.
    """

    async def login() -> float:
        begun = time.monotonic()
        done = await door.ssh("echo in")
        assert done.out == b"in\n"
        return time.monotonic() - begun

    alone = min([await login() for _ in range(3)])
    with silent(door, 1000, "127.0.0.9"):
        beside = min([await login() for _ in range(3)])

    assert beside < 1 + 2 * alone


async def test_silence_costs_no_process(door: Door) -> None:
    """Before a peer has greeted there is no listener for it."""
    with silent(door, 30, "127.0.0.9") as held:
        for one in held:
            assert one.recv(64) == b"SSH-2.0-Sheltie\r\n"
        zygotes = children(door.link._process.pid)
        below = [pid for zygote in zygotes for pid in children(zygote)]

    assert len(zygotes) == 2
    assert below == []


@pytest.mark.parametrize(
    "junk",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\0" * 99,
        b"SSH-2.0-x\r\n" + b"\xff" * 99,
        b"SSH-2.0-x\r\n\r\n" + bytes(500),
        b"SSH-2.0-" + b"x" * 9999,
    ],
)
async def test_garbage_costs_one_line_a_minute(door: Door, junk: bytes) -> None:
    """However often it comes: one line for the source, and the monitor spends nothing else."""
    for _ in range(10):
        with connect(door, "127.0.0.9") as one:
            one.settimeout(10)
            with suppress(OSError):  # cut off in the middle of it
                one.sendall(junk)
                one.shutdown(socket.SHUT_WR)
                while one.recv(4096):
                    pass
    await door.ssh("true")

    assert len([event for event in door.events if event.what == "dropped"]) == 1


async def test_grace_ends_every_phase(door: Door) -> None:
    """Silent, greeted, in the key exchange, in authentication: the time is one for all."""
    await door.configure(door.key, limits=Limits(grace=1))
    begun = time.monotonic()
    held = [connect(door) for _ in range(3)]
    held[1].sendall(b"SSH-2.0-test\r\n")
    held[2].sendall(b"SSH-2.0-test\r\n\0\0\0\x0c\x0a\x14")
    for one in held:
        one.settimeout(10)
        try:
            while await asyncio.to_thread(one.recv, 65536):
                pass
        except ConnectionResetError:
            pass
        one.close()

    assert 0.5 < time.monotonic() - begun < 5
    await door.configure(door.key, limits=Limits(grace=60))  # a crowded machine takes its time
    assert (await door.ssh("echo in")).out == b"in\n"


async def test_a_session_outlives_the_grace_time(door: Door) -> None:
    """Who is in stays in."""
    await door.configure(door.key, limits=Limits(grace=10))

    assert (await door.ssh("sleep 11; echo in")).out == b"in\n"


@pytest.mark.counted
async def test_time_outs_at_any_moment_leak_nothing(door: Door) -> None:
    """Peers that leave or stall in each phase while the grace time ends: nothing leaks."""
    await door.ssh("true")
    before = await settle(door, descriptors(door) - 2)
    lenient = Limits(
        grace=0.05,
        startups=500,
        startups_full=600,
        per_source=500,
        penalty_min=1e6,
        penalty_max=1e7,
    )
    await door.configure(door.key, limits=lenient)
    greetings = [b"", b"SSH-2.0-x\r\n", b"SSH-2.0-x\r\n" + bytes(100), b"SSH-2.", b"\xff" * 300]

    async def knock(number: int) -> None:
        with suppress(OSError, TimeoutError):
            reader, writer = await asyncio.open_connection(door.host, door.port)
            try:
                writer.write(greetings[number % len(greetings)])
                if number % 3:
                    await asyncio.wait_for(reader.read(65536), 0.04 + number % 7 / 100)
            finally:
                writer.close()
                await writer.wait_closed()

    for start in range(0, RACES, 20):
        await asyncio.gather(*(knock(number) for number in range(start, start + 20)))
    await door.configure(door.key, limits=structs.replace(lenient, grace=60))

    assert (await door.ssh("echo in")).out == b"in\n"
    assert await settle(door, before) <= before


async def test_peers_that_break_off_are_no_crash(door: Door) -> None:
    """A reset right after the greeting, or in the middle of the key exchange, is nobody's hole."""
    for number in range(40):
        one = connect(door)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.sendall(b"SSH-2.0-x\r\n" + bytes(number))
        await asyncio.sleep(number / 2000)
        one.close()

    assert (await door.ssh("echo in")).out == b"in\n"
    assert not [event for event in door.events if "without a word" in event.detail]


async def test_too_many_sessions_are_refused(door: Door) -> None:
    """MaxSessions in one connection."""
    import asyncssh

    await door.configure(door.key, limits=Limits(sessions=2))
    async with asyncssh.connect(
        door.host, door.port, username="root", client_keys=[str(door.identity)],
        known_hosts=str(door.directory / "known_hosts"), config=None,
    ) as connection:  # fmt: skip
        await connection.create_process("cat")
        await connection.create_process("cat")
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.create_process("cat")


async def test_too_many_keys_end_the_connection(door: Door, tmp_path: Path) -> None:
    """MaxAuthTries: an agent full of wrong keys is cut off before the right one."""
    strangers = [make_key(tmp_path, f"stranger{number}")[0] for number in range(6)]
    options = [part for path in strangers for part in ("-i", str(path))]
    argv = door.argv("true")
    argv[argv.index("-i") : argv.index("-i")] = options
    process = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.PIPE)
    await process.communicate()

    assert process.returncode == 255
    event = await door.wait_for("refused")
    assert "other keys too" in event.detail


async def test_guessers_are_kept_out_and_others_are_not(door: Door, tmp_path: Path) -> None:
    """Refused again and again, a source is dropped at once; its neighbour logs in."""
    stranger, _ = make_key(tmp_path, "stranger")
    guess = ["-b", "127.0.0.9"]
    await asyncio.gather(*(door.ssh("true", identity=stranger, options=guess) for _ in range(9)))
    await door.wait_for("refused")
    done = await door.ssh("true", options=guess)

    assert done.code == 255
    assert (await door.wait_for("dropped", "penalty")).peer == "127.0.0.9"
    assert (await door.ssh("echo in")).out == b"in\n"


async def test_an_idle_terminal_is_warned_and_closed(door: Door) -> None:
    """Where limits say so: a word in the terminal first, then the end."""
    await door.configure(door.key, limits=Limits(idle=2))
    done = await door.ssh("sleep 30", options=["-tt"])

    assert b"sheltie: idle" in done.out


async def test_a_client_that_answers_no_more_is_given_up(door: Door) -> None:
    """Three keep-alives without an answer."""
    await door.configure(door.key, limits=Limits(keep_alive=0.3))
    private = serialization.load_ssh_private_key(door.identity.read_bytes(), None)
    assert isinstance(private, ed25519.Ed25519PrivateKey)
    with Raw(door.host, door.port).begin() as raw:
        raw.login(b"root", private)

        assert raw.ended()
        assert [one for one in raw.seen if b"keepalive@openssh.com" in one]
    await door.wait_for("closed")


async def test_a_connection_without_a_session_is_closed(door: Door) -> None:
    """Where limits say so."""
    await door.configure(door.key, limits=Limits(unused=1))
    begun = time.monotonic()
    await door.ssh(options=["-N"])

    assert time.monotonic() - begun < 10
