"""Bytes through the door: whole, both ways, to readers who dawdle and to one who reads no more."""

import asyncio
import hashlib
import os
import subprocess
import sys
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from dev.deaf import BEGINS_SECONDS
from dev.hold import descendants, memory_of
from tests.admin.ssh.door import USER, Door
from tests.admin.ssh.raw import Raw, public_blob

pytestmark = [pytest.mark.privileged, pytest.mark.timeout(90)]


async def test_bulk_both_ways_by_digest(door: Door) -> None:
    """Ten megabytes there and back are the same bytes."""
    data = os.urandom(10 << 20)
    done = await door.ssh("cat", stdin=data)

    assert hashlib.sha256(data).digest() == hashlib.sha256(done.out).digest()


@pytest.mark.parametrize("_round", range(5))
async def test_slow_readers_get_every_byte(door: Door, _round: int) -> None:
    """Five clients that dawdle, five times: all bytes, and the exit status after them."""
    assert await asyncio.gather(*(dawdle(door) for _ in range(5))) == [True] * 5


async def dawdle(door: Door) -> bool:
    """Read slowly; return whether size, digest and exit status are right."""
    size = 4 << 20
    argv = door.argv(f"head -c {size} /dev/urandom | tee >(sha256sum >&2); exit 3")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, limit=1 << 16
    )
    assert process.stdout is not None
    assert process.stderr is not None
    digest, got = hashlib.sha256(), 0
    while piece := await process.stdout.read(1 << 16):
        digest.update(piece)
        got += len(piece)
        await asyncio.sleep(0.002)
    told = (await process.stderr.read()).split()[0]
    return (size, 3, told) == (got, await process.wait(), digest.hexdigest().encode())


async def test_a_client_that_reads_no_more(door: Door) -> None:
    """However much its window takes, the server keeps less than a megabyte for it."""
    before, after = await asyncio.to_thread(deafen, door)

    assert after - before < 1024, (before, after)


def deafen(door: Door) -> tuple[int, int]:
    """Return the kB that the monitor and all below it hold before and after nobody reads."""
    argv = [sys.executable, "-I", "-m", "dev.deaf", str(door.port), USER, str(door.identity)]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe) as client:
        try:
            assert client.stdout is not None
            assert client.stdout.readline() == b"deaf\n"
            before = memory(door)
            time.sleep(BEGINS_SECONDS + 3)
            return before, memory(door)
        finally:
            client.kill()


def memory(door: Door) -> int:
    """Return the kB of memory (PSS) of the monitor and its descendants."""
    return sum(map(memory_of, [door.link._process.pid, *descendants(door.link._process.pid)]))


async def test_no_packet_says_nothing(door: Door) -> None:
    """The library would send an IGNORE before each packet: half of all packets."""
    key = public_blob(ed25519.Ed25519PrivateKey.generate())
    with Raw(door.host, door.port).begin() as peer:
        peer.send(peer.request(USER.encode(), key, signed=False))

        assert peer.receive(51) is not None
        assert 2 not in [one[0] for one in peer.seen]
