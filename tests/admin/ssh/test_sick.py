"""Logins to a host that is ill: a prompt all the same, and what is wrong is said.

Within 3 s on a quiet machine; here beside what a login takes in the same run while all is well.
"""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from dev import cgroups
from tests.admin.ssh.door import Door, make_key
from tests.admin.ssh.test_confined import children
from tests.e2e.host import PATIENCE
from tests.e2e.terminal import Terminal

pytest_plugins = ("tests.host.inside",)
INSIDE = True
pytestmark = [
    pytest.mark.privileged,
    pytest.mark.timeout(240),
]

SECONDS = 3.0
ROUNDS = 3
MEGABYTE = 1 << 20
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


@pytest.fixture
async def ill(tmp_path: Path) -> AsyncIterator[Door]:
    """A door that is not open yet: what is to be ill comes first."""
    made = Door(tmp_path, *make_key(tmp_path, "operator"))
    yield made
    if hasattr(made, "link"):
        await made.link.close()


def prompt(door: Door) -> float:
    """Return the seconds to the prompt of a login shell, the best of a few."""
    best = 1e9
    for _ in range(ROUNDS):
        begun = time.monotonic()
        with Terminal(door.argv(options=["-tt"])) as terminal:
            terminal.expect(r"[#$] ", 30)
            best = min(best, time.monotonic() - begun)
            terminal.keys("exit\r")
            assert terminal.wait(30) == 0
    return best


async def prompts(door: Door) -> float:
    """Measure beside the door's own loop."""
    return await asyncio.to_thread(prompt, door)


@contextmanager
def mounted(place: Path, options: str) -> Iterator[None]:
    """Mount a small file system of memory."""
    place.mkdir(parents=True, exist_ok=True)
    argv = ["mount", "-t", "tmpfs", "-o", options, "ill", str(place)]
    subprocess.run(argv, check=True, timeout=20)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True, timeout=20)


@contextmanager
def full(place: Path) -> Iterator[None]:
    """A disk without a free byte."""
    with mounted(place, "size=64k"):
        room = os.statvfs(place)
        (place / "filler").write_bytes(bytes(room.f_bavail * room.f_frsize))
        yield


@contextmanager
def read_only(place: Path) -> Iterator[None]:
    """A disk that cannot be written to."""
    with mounted(place, "ro"):
        yield


@pytest.mark.parametrize("sickness", [full, read_only])
async def test_a_disk_that_takes_nothing(
    ill: Door, sickness: Callable[[Path], AbstractContextManager[None]], tmp_path: Path
) -> None:
    """The host keys live in memory, each is named, and whoever has the key gets in."""
    with sickness(tmp_path / "etc"), sickness(Path("/var/tmp")), sickness(Path("/run/sheltie")):
        await ill.open()
        sick = await prompts(ill)
        again = await ill.configure(ill.key)
    said = [one for one in ill.ready.problems if "key" in one]

    assert len(said) >= 2
    assert all("memory" in one for one in said)
    assert again.host_keys[:2] == ill.ready.host_keys[:2]
    assert [one for one in again.problems if "memory" in one]
    assert sick < (SECONDS + await prompts(ill)) * PATIENCE


@contextmanager
def black_hole(directory: Path) -> Iterator[None]:
    """A DNS server that never answers, and no other way to look a name up."""
    with ExitStack() as stack:
        silent = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        silent.bind(("127.0.0.9", 53))
        for name, text in (
            ("resolv.conf", "nameserver 127.0.0.9\noptions timeout:5 attempts:2\n"),
            ("nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: dns\n"),
        ):
            source = directory / name
            source.write_text(text)
            target = str(Path("/etc", name).resolve())
            subprocess.run(["mount", "--bind", str(source), target], check=True, timeout=20)
            stack.callback(subprocess.run, ["umount", "-l", target], check=True, timeout=20)
        yield


async def test_a_dns_that_is_a_black_hole(ill: Door, tmp_path: Path) -> None:
    """Nothing on the way to a prompt looks a name up."""
    await ill.open()
    well = await prompts(ill)
    with black_hole(tmp_path):
        begun = time.monotonic()
        with pytest.raises(socket.gaierror):
            await asyncio.to_thread(socket.getaddrinfo, "host.invalid", 1)
        assert time.monotonic() - begun > 3  # it is a hole indeed
        sick = await prompts(ill)

    assert sick < (SECONDS + well) * PATIENCE


@pytest.mark.parametrize("when", ["1970-01-01 00:00:10", "2037-12-31 23:59:50"])
async def test_a_clock_that_is_wrong(ill: Door, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key without an end lets in at any time."""
    with monkeypatch.context() as context:
        context.setenv("LD_PRELOAD", str(FAKETIME))
        context.setenv("FAKETIME", f"@{when}")
        context.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        context.setenv("DONT_FAKE_MONOTONIC", "1")
        await ill.open()
    sick = await prompts(ill)
    async with asyncio.timeout(30):  # a session's end is told in its own time
        while (await ill.link.status()).sessions:  # noqa: ASYNC110  nobody tells of it here
            await asyncio.sleep(0.05)

    assert sick < (SECONDS * 2) * PATIENCE


@contextmanager
def limited(door: Door, controller: str) -> Iterator[Path]:
    """Put the monitor and its zygotes into a cgroup of their own, with that controller."""
    found = cgroups.hierarchies(
        Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text()
    )
    paths = cgroups.make(found, f"sick-{os.getpid()}")
    try:
        (place,) = [one for one in paths if list(one.glob(f"{controller}.*m*"))]
        monitor = door.link._process.pid
        for process in (monitor, *children(monitor)):
            cgroups.enter([place], process)
        yield place
    finally:
        for path in paths:
            for pid in (path / "cgroup.procs").read_text().split():
                with suppress(ProcessLookupError):  # it ended just now
                    (path.parent / "cgroup.procs").write_text(pid)
        cgroups.remove(paths)


async def test_no_process_is_left(ill: Door) -> None:
    """The door refuses for the moment, says why, and opens when there is room again."""
    await ill.open()
    well = await prompts(ill)
    with limited(ill, "pids") as place:
        (place / "pids.max").write_text((place / "pids.current").read_text())
        refused = await ill.ssh("true")
        assert refused.code == 255
        why = await ill.wait_for("dropped")
        (place / "pids.max").write_text("max")
        sick = await prompts(ill)

    assert "no listener" in why.detail
    assert sick < (SECONDS + well) * PATIENCE


async def test_memory_is_eaten_by_a_session(ill: Door) -> None:
    """It dies, the door lives, and the next login gets its prompt."""
    await ill.open()
    well = await prompts(ill)
    with limited(ill, "memory") as place:
        (limit,) = [
            one
            for name in ("memory.max", "memory.limit_in_bytes")
            if (one := place / name).exists()
        ]
        limit.write_text(str(150 * MEGABYTE))
        eaten = await ill.ssh(f"{sys.executable} -I -c 'b\"x\" * 900_000_000'; echo $?")
        sick = await prompts(ill)
        limit.write_text("-1" if limit.name.endswith("bytes") else "max")

    assert eaten.out == b"137\n"
    assert sick < (SECONDS + well) * PATIENCE
