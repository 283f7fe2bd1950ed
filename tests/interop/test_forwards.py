"""Forwards with OpenSSH's ssh, paramiko and dropbear's dbclient: ports both ways, and the agent."""

import asyncio
import contextlib
import hashlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import paramiko  # type: ignore[import-untyped]
import pytest

from admin.ssh.forwarding import Forwarding
from tests.admin.ssh.door import USER, Door
from tests.interop.clients import dropbear_home, run, until
from tests.interop.test_paramiko import beside, client

pytestmark = [pytest.mark.privileged, pytest.mark.timeout(180)]

SIZE = 3_000_001
SECONDS = 60
ALL = Forwarding(local=True, remote=True, agent=True)
CONNECT_FAILED = 2
"""SSH_OPEN_CONNECT_FAILED (RFC 4254 section 5.1)."""
Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


@pytest.fixture
async def door(door: Door) -> Door:
    """A door that forwards everything to whom its key allows it."""
    await door.configure(door.key, forwarding=ALL)
    return door


@contextlib.asynccontextmanager
async def digests() -> AsyncIterator[int]:
    """Serve, on a port, the digest of what a client sends until it ends its half."""

    async def serve(reader: Reader, writer: Writer) -> None:
        writer.write(hashlib.sha256(await reader.read()).hexdigest().encode())
        writer.close()
        await writer.wait_closed()

    async with serving(serve) as port:
        yield port


@contextlib.asynccontextmanager
async def serving(serve: Callable[[Reader, Writer], Awaitable[None]]) -> AsyncIterator[int]:
    """Serve on a free port of loopback."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def running(*argv: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a client beside the test, and end it."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[Reader, Writer]]:
    """Connect, as soon as somebody listens."""
    await until(lambda: listened(port))
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):  # the other end broke
                await writer.wait_closed()


async def listened(port: int) -> bool:
    """Whether somebody listens."""
    return bool((await run("ss", "-Hltn", f"sport = :{port}")).out.strip())


async def gone(port: int) -> None:
    """Wait until nobody listens on `port`."""

    async def quiet() -> bool:
        return not await listened(port)

    await until(quiet)


async def digest_through(port: int) -> bool:
    """Send data, end our half, and see whether its digest comes back."""
    data = os.urandom(SIZE)
    async with connected(port) as (reader, writer):
        writer.write(data)
        await writer.drain()
        writer.write_eof()
        answer = await reader.read()
    return answer.decode() == hashlib.sha256(data).hexdigest()


async def test_ssh_forwards_a_port_from_here(door: Door) -> None:
    """Ssh -L: every byte arrives, the half that ended leaves the other open, all at once."""
    here = free_port()
    async with (
        digests() as there,
        running(*door.argv(options=["-N", "-L", f"{here}:localhost:{there}"])),
    ):
        assert all(await asyncio.gather(*(digest_through(here) for _ in range(5))))
        event = await door.wait_for("forward", "open")

    assert event.detail == f"open localhost:{there}"
    assert event.user == USER
    assert event.key


async def test_ssh_carries_its_own_input(door: Door) -> None:
    """Ssh -W ends when both halves did."""
    data = os.urandom(SIZE)
    async with digests() as there:
        done = await door.ssh(stdin=data, options=["-W", f"127.0.0.1:{there}"])

    assert (done.code, done.out.decode()) == (0, hashlib.sha256(data).hexdigest())


async def test_ssh_chooses_where_to(door: Door) -> None:
    """Ssh -D: a SOCKS client says where to, each time."""
    here = free_port()
    async with digests() as there, running(*door.argv(options=["-N", "-D", str(here)])):
        name = b"localhost"
        async with connected(here) as (reader, writer):
            writer.write(b"\x05\x01\x00")
            assert await reader.readexactly(2) == b"\x05\x00"
            writer.write(b"\x05\x01\x00\x03" + bytes([len(name)]) + name)
            writer.write(there.to_bytes(2, "big"))
            assert (await reader.readexactly(10))[1] == 0
            writer.write(b"through")
            writer.write_eof()
            answer = await reader.read()

    assert answer.decode() == hashlib.sha256(b"through").hexdigest()


@pytest.mark.parametrize("asked", ["", "*:", "127.0.0.1:"])
async def test_ssh_forwards_a_port_from_there(door: Door, tmp_path: Path, asked: str) -> None:
    """Ssh -R, with a free port of the server's, until it is cancelled; not beyond the machine."""
    control = ["-o", f"ControlPath={tmp_path}/c"]
    async with digests() as here, running(*door.argv(options=["-N", "-M", *control])):

        async def stands() -> bool:
            return not (await door.ssh(options=["-O", "check", *control])).code

        await until(stands)
        what = f"{asked}0:127.0.0.1:{here}"
        begun = await door.ssh(options=["-O", "forward", *control, "-R", what])
        port = int(begun.out)
        assert await digest_through(port)
        listening = await run("ss", "-Hltn", f"sport = :{port}")
        came = await door.wait_for("forward", "from ")
        again = await door.ssh(
            options=["-O", "forward", *control, "-R", f"{port}:127.0.0.1:{here}"]
        )
        ended = await door.ssh(options=["-O", "cancel", *control, "-R", what])
        await gone(port)

    places = {line.split()[3] for line in listening.out.decode().splitlines()}
    assert places
    assert all(one.startswith(("127.0.0.1:", "[::1]:")) for one in places)
    assert came.detail.startswith("from 127.0.0.1:")
    assert (begun.code, ended.code) == (0, 0), ended.err
    assert again.code != 0  # the port is taken


async def test_a_port_ends_with_its_connection(door: Door) -> None:
    """When the client is gone, nobody listens for it any more."""
    port = free_port()
    argv = door.argv(options=["-N", "-R", f"{port}:127.0.0.1:1"])
    async with running(*argv), connected(port):
        pass
    await gone(port)


async def test_ssh_brings_its_agent(door: Door, tmp_path: Path) -> None:
    """Ssh -A: a program reaches the client's agent, in a directory that is the user's alone."""
    socket_path = tmp_path / "agent"
    argv = ["ssh-agent", "-D", "-a", str(socket_path)]
    async with running(*argv):
        environment = ["env", f"SSH_AUTH_SOCK={socket_path}"]

        async def added() -> bool:
            return not (await run(*environment, "ssh-add", str(door.identity))).code

        await until(added)
        ours = 'echo "$SSH_AUTH_SOCK" && stat -c "%a %U" "${SSH_AUTH_SOCK%/*}"'
        command = f"ssh-add -l && ssh-add -l && {ours}"
        done = await run(*environment, *door.argv(command, options=["-A"]))
        without = await run(*environment, *door.argv("echo ${SSH_AUTH_SOCK-none}"))
    first, second, path, shown = done.out.decode().splitlines()

    assert done.code == 0, done.err
    assert first == second
    assert "ED25519" in first
    assert shown == f"700 {USER}"
    assert without.out == b"none\n"

    async def removed() -> bool:
        return not await asyncio.to_thread(Path(path).parent.exists)

    await until(removed)


async def test_paramiko_forwards_both_ways(door: Door) -> None:
    """Channels that another implementation opens, and a port whose guests it takes."""
    async with digests() as there:

        def talk() -> None:
            with client(door, door.identity) as made:
                transport = made.get_transport()
                port = transport.request_port_forward("127.0.0.1", 0)
                channel = transport.open_channel("direct-tcpip", ("127.0.0.1", there), ("::1", 9))
                channel.settimeout(SECONDS)
                channel.sendall(b"through")
                channel.shutdown_write()
                assert _rest(channel) == hashlib.sha256(b"through").hexdigest().encode()
                with socket.create_connection(("127.0.0.1", port), SECONDS) as guest:
                    taken = transport.accept(SECONDS)
                    taken.sendall(b"welcome")
                    taken.shutdown_write()
                    assert guest.makefile("rb").read() == b"welcome"
                    guest.sendall(b"thanks")
                    guest.shutdown(socket.SHUT_WR)
                    assert _rest(taken) == b"thanks"
                transport.cancel_port_forward("127.0.0.1", port)
                with pytest.raises(paramiko.ChannelException) as refused:
                    transport.open_channel("direct-tcpip", ("127.0.0.1", 1), ("127.0.0.1", 2))
                assert refused.value.code == CONNECT_FAILED

        await beside(talk)


def _rest(channel: Any) -> bytes:
    found = b""
    while piece := channel.recv(65536):
        found += piece
    return found


async def test_dbclient_forwards_both_ways(door: Door, tmp_path: Path) -> None:
    """Dropbear's client: small windows, all bytes."""
    home = await dropbear_home(door, tmp_path)
    here, beyond = free_port(), free_port()
    argv = ["dbclient", "-N", "-p", str(door.port), "-i", str(home / "id")]
    async with digests() as there:
        both = ["-L", f"{here}:127.0.0.1:{there}", "-R", f"{beyond}:127.0.0.1:{there}"]
        async with running("env", f"HOME={home}", *argv, *both, f"{USER}@{door.host}"):
            assert await digest_through(here)
            assert await digest_through(beyond)
