"""Which images may go: never one that somebody claims, and every other."""

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.image.collect import Claim, superfluous
from host.image.known import Memory, Seen
from host.image.unpacked import Trees
from tests.host.image import tiny
from tests.host.image.conftest import Make

digests = st.sampled_from([f"sha256:{digit * 64}" for digit in "0123456789"])
claims = st.lists(st.builds(Claim, *[digests | st.just("")] * 4))


@given(st.sets(digests), claims, st.sets(digests))
def test_nothing_claimed_goes_and_all_else_does(
    present: set[str], claimed: list[Claim], mounted: set[str]
) -> None:
    """What runs, was handed out, brought or good, and what is mounted, stays."""
    doomed = superfluous(present, claimed, mounted)
    held = {one for c in claimed for one in (c.running, c.handed, c.brought, c.good)} | mounted

    assert doomed <= present
    assert not doomed & held
    assert present - doomed <= held


@given(st.sets(digests), claims, st.sets(digests))
def test_once_is_enough(present: set[str], claimed: list[Claim], mounted: set[str]) -> None:
    """A second time nothing is left to do."""
    doomed = superfluous(present, claimed, mounted)

    assert superfluous(present - doomed, claimed, mounted) == set()


@given(st.sets(digests), claims, claims)
def test_who_claims_more_loses_less(
    present: set[str], some: list[Claim], more: list[Claim]
) -> None:
    """Another container never costs an image."""
    assert superfluous(present, some + more) <= superfluous(present, some)


def test_what_is_mounted_is_known_by_its_name(tmp_path: Path) -> None:
    """Whoever mounted it, and whatever they called it."""
    one, other = (f"sha256:{digit * 64}" for digit in "01")
    for digest in (one, other):
        (tmp_path / digest.replace(":", "-")).mkdir()
    line = f"1 2 0:3 / /m rw - overlay overlay rw,lowerdir=/x/sha256-{'0' * 64}/rootfs,upperdir=/u"

    assert Trees(tmp_path).names() == {one, other}
    assert Trees(tmp_path).mounted(line) == {one}


def test_what_is_known_survives(tmp_path: Path) -> None:
    """The same is not written twice, keeps its time, and another daemon knows it."""
    memory = Memory(tmp_path / "known.json")
    one = memory.note_pulled(Seen("a", "sha256:1", "then", "owner"))
    written = (tmp_path / "known.json").stat().st_mtime_ns
    assert memory.note_pulled(Seen("a", "sha256:1", "now", "owner")) == one
    assert (tmp_path / "known.json").stat().st_mtime_ns == written
    memory.note_good("admin", one)
    later = Memory(tmp_path / "known.json")
    later.load()
    assert (later.pulled("a"), later.good("admin")) == (one, one)
    later.forget(set(), {"admin"})

    assert (later.pulled("a"), later.good("admin")) == (None, one)
    assert (tmp_path / "known.json").stat().st_mode & 0o777 == 0o600


@given(data=st.binary() | st.just(b'{"version": 2}') | st.just(b'{"pulled": {"a": {}}}'))
def test_any_memory_is_read_or_begun_anew(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    """Whatever the file holds, the daemon starts."""
    path = tmp_path_factory.mktemp("known") / "known.json"
    path.write_bytes(data)
    memory = Memory(path)
    memory.load()

    assert memory.broken or memory.pulled("a") is None


def test_a_memory_that_cannot_be_written_keeps_no_door_shut(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said, and what is known counts for as long as the daemon lives."""
    memory = Memory(tmp_path / "nowhere/known.json")
    seen = memory.note_pulled(Seen("a", "sha256:1", "then", "owner"))

    assert memory.pulled("a") == seen
    assert "images-unwritten" in caplog.text


@pytest.mark.privileged
async def test_blobs_go_with_their_images(daemon: Make, tmp_path: Path) -> None:
    """Of what was pulled, no blob stays that no image needs."""
    from tests.host.image.registry import Registry

    layout = tmp_path / "layout"
    with Registry.running(tmp_path / "registry") as registry:
        images = daemon(registry.place)
        kept = []
        for number in range(2):
            tiny.write(layout, tag=f"n{number}", files={"big": os.urandom(1000)})
            digest = registry.push(layout, "tiny:1", tag=f"n{number}")
            await images.get(f"{registry.place}/tiny@{digest}", container=f"c{number}")
            kept.append(digest)
        blobs = tmp_path / "state/images/blobs/sha256"
        assert len(list(blobs.iterdir())) == 6
        assert await images.collect({"c1": kept[1]}) == [kept[0]]

        assert len(list(blobs.iterdir())) == 3
        assert (await images.get(f"{registry.place}/tiny@{kept[1]}")).digest == kept[1]


@pytest.mark.privileged
async def test_collecting_while_images_come(daemon: Make, tmp_path: Path) -> None:
    """Whatever is collected meanwhile, what is handed out is there."""
    images = daemon()
    for number in range(6):
        tiny.write(tmp_path / f"layout{number}", ("sleep", str(number)))

    async def come(number: int) -> None:
        for _ in range(3):
            source = f"oci:{tmp_path}/layout{number}"
            image = await images.get(source, container=str(number))
            assert (image.rootfs / "bin/busybox").is_file()

    names = {str(number): "" for number in range(6)}
    coming = asyncio.gather(*(come(number) for number in range(6)))
    while not coming.done():
        await images.collect(names)
        await asyncio.sleep(0)
    await coming
