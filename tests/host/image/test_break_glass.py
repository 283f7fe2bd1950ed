"""The door opens when the registry is down, slow or lying, or a pull is cut off or bent midway."""

# ruff: noqa: ASYNC220, ASYNC240  only this test waits for these processes and files

import asyncio
import json
import os
import select
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from contract.errors import FailedError, SheltieError, TimedOutError, UnavailableError
from host.image.images import Images
from host.image.trust import ANY
from tests.host.image import tiny
from tests.host.image.conftest import LIMITS, Make
from tests.host.image.registry import Registry
from tests.host.image.wire import Wire

pytestmark = pytest.mark.privileged

MIDDLE = 2_000_000
"""Bytes after which a pull of the image is in the middle of its layer."""


@pytest.fixture
def source(registry: Registry, wire: Wire, layout: Path, tmp_path: Path) -> str:
    """A tag, by the wire, of an image with some megabytes; the policy accepts it."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state/policy.json").write_bytes(ANY)
    push(registry, layout, 1)
    return f"127.0.0.1:{wire.port}/tiny:1"


def push(registry: Registry, layout: Path, number: int) -> str:
    """Give the tag another image."""
    big = {"big": os.urandom(4_000_000)}
    tiny.write(layout, ("sleep", str(number)), tag=f"n{number}", files=big)
    return registry.push(layout, "tiny:1", tag=f"n{number}")


def place(source: str) -> str:
    """Return the registry of a source."""
    return source.partition("/")[0]


def nothing_half_done(tmp_path: Path) -> None:
    """See that no scratch is left, that all blobs are whole, and no secrets lie about."""
    home = tmp_path / "state/images"
    assert not list(home.glob(".*"))
    for blob in (home / "blobs/sha256").iterdir():
        done = subprocess.run(["sha256sum", blob], capture_output=True, check=True)
        assert done.stdout.split()[0].decode() == blob.name
    assert not list((tmp_path / "run/images").iterdir())


async def brought(images: Images, source: str) -> str:
    """Have the image run well once, and return its digest."""
    image = await images.get(source, container="admin")
    images.good("admin")
    return image.digest


async def test_down_since_the_last_daemon(
    daemon: Make, registry: Registry, source: str, tmp_path: Path
) -> None:
    """The sentence says which image, since when, and why."""
    digest = await brought(daemon(place(source)), source)
    since = json.loads((tmp_path / "state/images/known.json").read_text())["good"]["admin"]["since"]
    registry.stop()
    image = await daemon(place(source)).get(source, container="admin")

    assert image.digest == digest
    assert image.note.startswith(
        f"runs from the last good image {digest} of {source}, here since {since}, because"
        f" registry {place(source)} does not answer: "
    )


async def test_another_tag_stands_in(daemon: Make, registry: Registry, source: str) -> None:
    """The owner wants a newer tag, and it cannot be had: better the last good one than none."""
    images = daemon(place(source))
    digest = await brought(images, source)
    registry.stop()

    assert (await images.get(f"{source}2", container="admin")).digest == digest


@pytest.mark.parametrize("other", ["{place}/other:1", "{place}/tiny@sha256:" + "0" * 64])
async def test_what_does_not_stand_in(
    daemon: Make, registry: Registry, source: str, other: str
) -> None:
    """Neither another image, nor one that the owner did not pin."""
    images = daemon(place(source))
    await brought(images, source)
    registry.stop()
    with pytest.raises(UnavailableError, match="does not answer"):
        await images.get(other.format(place=place(source)), container="admin")


@pytest.mark.parametrize("then", ["cut", "flip"])
async def test_broken_in_the_middle(
    daemon: Make,
    registry: Registry,
    wire: Wire,
    source: str,
    layout: Path,
    tmp_path: Path,
    then: str,
) -> None:
    """What comes cut or bent is not used; the last good one starts, and later the whole one."""
    images = daemon(place(source))
    digest = await brought(images, source)
    new = push(registry, layout, 2)
    wire.arm(then, MIDDLE)
    image = await images.get(source, container="admin")
    assert wire.reached.is_set()
    assert (image.digest, bool(image.note)) == (digest, True)
    nothing_half_done(tmp_path)
    wire.disarm()

    assert (await images.get(source, container="admin")).digest == new


@pytest.mark.parametrize("then", ["cut", "flip"])
async def test_broken_in_the_middle_of_the_first_pull(
    daemon: Make, wire: Wire, source: str, tmp_path: Path, then: str
) -> None:
    """Without a last good one it is an error of one line, and nothing half done stays."""
    images = daemon(place(source))
    wire.arm(then, MIDDLE)
    with pytest.raises(SheltieError) as caught:
        await images.get(source, container="admin")
    assert wire.reached.is_set()
    assert caught.value.code in {"REGISTRY_DOWN", "IMAGE_BROKEN"}
    nothing_half_done(tmp_path)
    wire.disarm()

    assert (await images.get(source, container="admin")).note == ""


async def test_a_registry_that_lies(
    daemon: Make, registry: Registry, source: str, layout: Path
) -> None:
    """Another image under the digest of this one is found out."""
    old, new = registry.push(layout, "tiny:1", tag="n1"), push(registry, layout, 2)
    blobs = registry.home / "storage/docker/registry/v2/blobs/sha256"
    data = {digest: blobs / digest[7:9] / digest[7:] / "data" for digest in (old, new)}
    data[old].write_bytes(data[new].read_bytes())
    with pytest.raises(FailedError) as caught:
        await daemon(place(source)).get(f"{place(source)}/tiny@{old}")
    assert caught.value.code == "IMAGE_BROKEN"


async def test_slow_but_coming(
    daemon: Make, registry: Registry, wire: Wire, source: str, layout: Path
) -> None:
    """Patience ends, the last good one starts; the pull goes on, and the next start has it."""
    images = daemon(place(source), limits=replace(LIMITS, patience=1.0))
    digest = await brought(images, source)
    new = push(registry, layout, 2)
    wire.arm("stall", MIDDLE)
    image = await images.get(source, container="admin")
    assert image.digest == digest
    assert f"because pulling {source}: " in image.note
    assert image.note.endswith("MB after 1 s, which goes on")
    wire.disarm()
    limit = asyncio.timeout(30)
    async with limit:
        while image.note:
            image = await images.get(source, container="admin")

    assert image.digest == new


async def test_stalled(daemon: Make, wire: Wire, source: str, tmp_path: Path) -> None:
    """Without a last good one a pull that stands still is given up after its time."""
    wire.arm("stall", MIDDLE)
    with pytest.raises(TimedOutError, match=r"too slow: \d of \d MB of") as caught:
        await daemon(place(source), limits=replace(LIMITS, stall=0.5)).get(source)
    assert caught.value.code == "REGISTRY_SLOW"
    nothing_half_done(tmp_path)


async def test_a_registry_that_says_nothing(daemon: Make, wire: Wire, source: str) -> None:
    """One that accepts and is silent is given up after its time."""
    wire.arm("stall", 0)
    with pytest.raises(TimedOutError, match="has not answered for"):
        await daemon(place(source), limits=replace(LIMITS, answer=0.5)).get(source)


async def test_given_up_by_the_settings(
    daemon: Make, wire: Wire, source: str, tmp_path: Path
) -> None:
    """A container that is disabled meanwhile ends the pull."""
    images = daemon(place(source))
    wire.arm("stall", MIDDLE)
    task = asyncio.create_task(images.get(source))
    await wire.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    nothing_half_done(tmp_path)


async def test_one_gives_up_and_another_waits(daemon: Make, wire: Wire, source: str) -> None:
    """Who gives up takes nothing from who still wants it, and both hear how far it is."""
    images = daemon(place(source))
    wire.arm("stall", MIDDLE)
    said: list[str] = []
    one, other = (asyncio.create_task(images.get(source, tell=said.append)) for _ in range(2))
    await wire.reached.wait()
    one.cancel()
    await asyncio.wait({one})
    wire.disarm()

    assert (await other).digest
    assert sum(sentence.startswith("asking") for sentence in said) == 2


async def test_the_daemon_killed_in_the_middle(
    daemon: Make, wire: Wire, source: str, tmp_path: Path
) -> None:
    """Kill -9 in mid-pull: the next daemon clears up and pulls it."""
    script = (
        "import asyncio, sys, pathlib; from host.image.images import Images;"
        "from tests.host.image.conftest import plain; a = sys.argv;"
        "images = Images(pathlib.Path(a[1]), pathlib.Path(a[2]), lambda: plain(a[3]));"
        "images.sweep(); asyncio.run(images.get(a[4]))"
    )
    wire.arm("stall", MIDDLE)
    arguments = [str(tmp_path / "state"), str(tmp_path / "run"), place(source), source]
    process = subprocess.Popen([sys.executable, "-I", "-c", script, *arguments])
    await wire.reached.wait()
    (scratch,) = (tmp_path / "state/images").glob(".*")
    (copying,) = (int(pid) for pid in children(process.pid).split())
    pidfd = os.pidfd_open(copying)
    process.kill()
    process.wait()
    # Orphaned, and at work in a directory that nobody else knows.
    assert Path(f"/proc/{copying}/cwd").readlink() == scratch
    images = daemon(place(source))
    assert select.select([pidfd], [], [], 0)[0]
    os.close(pidfd)
    wire.disarm()
    assert not list((tmp_path / "state/images").glob(".*"))

    assert (await images.get(source)).rootfs.is_dir()


def children(pid: int) -> str:
    """Return the children of a process of the test's own."""
    return "".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))


async def test_a_new_policy_judges_anew(
    daemon: Make, registry: Registry, source: str, tmp_path: Path
) -> None:
    """What an old policy accepted does not stand in under a new one that would refuse it."""
    images = daemon(place(source))
    await brought(images, source)
    (tmp_path / "state/policy.json").write_text('{"default": [{"type": "reject"}]}')
    with pytest.raises(FailedError, match="not accepted by the policy") as caught:
        await images.get(source, container="admin")
    assert caught.value.code == "IMAGE_UNTRUSTED"
    registry.stop()
    with pytest.raises(UnavailableError):
        await images.get(source, container="admin")


async def test_what_is_known_is_broken(
    daemon: Make, source: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A broken memory is said aloud, nothing is removed by it, and images are brought anew."""
    await brought(daemon(place(source)), source)
    (tmp_path / "state/images/known.json").write_bytes(b"\0\0")
    images = daemon(place(source))
    assert "images-forgotten" in caplog.text
    assert await images.collect({}) == []

    assert (await images.get(source)).rootfs.is_dir()
