"""The audit on a medium that fails: events wait, status says so, nothing is lost unsaid."""

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contract.audit import check
from contract.audit.segments import Segments
from contract.audit.sink import MemorySink
from contract.chain import read
from contract.event import AuditResumed, DaemonEnded, Entry
from host.audit import trail
from host.audit.trail import Trail

WRITES = ["write", "fsync", "open", "ftruncate"]


def fails(*_: Any, **__: Any) -> Any:
    """Be a full disk."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def started(directory: Path, waiting_max: int = trail.WAITING_MAX) -> Trail:
    """Return an audit with one event."""
    audit = Trail(Segments(directory), waiting_max)
    audit.start()
    audit.note(DaemonEnded("first"))
    return audit


def events(directory: Path) -> list[Any]:
    """Return what is on disk."""
    return [entry.event for _, entry in check.entries(directory)]


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Events of a full disk wait, are numbered, and are written in their order afterwards."""
    audit = started(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails)
        assert [audit.note(DaemonEnded(word)) for word in "ab"] == [2, 3]
        status = audit.status()
        assert (status.waiting, status.lost, status.degraded) == (2, 0, "No space left on device")
        assert audit.problems
    assert audit.note(DaemonEnded("c")) == 4

    assert audit.problems == []
    *known, resumed = events(tmp_path)
    assert known == [DaemonEnded(word) for word in ("first", "a", "b", "c")]
    assert resumed == AuditResumed("No space left on device", 3, 0)
    assert check.check(tmp_path).faults == ()


def test_a_write_that_fails_half_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a full disk took of a line is no part of the chain."""
    audit = started(tmp_path)
    write, left = os.write, [70]

    def scarce(descriptor: int, data: bytes) -> int:
        if not left[0]:
            fails()
        count = write(descriptor, data[: left[0]])
        left[0] -= count
        return count

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", scarce)
        audit.note(DaemonEnded("a"))
        assert audit.problems
        assert not (tmp_path / "000000000001.jsonl").read_bytes().endswith(b"\n")
    audit.note(DaemonEnded("b"))

    assert events(tmp_path)[:3] == [DaemonEnded(word) for word in ("first", "a", "b")]
    assert check.check(tmp_path).faults == ()


def test_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded; what found no room is counted, and the count is written."""
    audit = started(tmp_path, waiting_max=2000)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fails)
        numbers = [audit.note(DaemonEnded(f"{number}")) for number in range(100)]
    kept = sum(number > 0 for number in numbers)
    audit._save()

    assert 3 < kept < 15
    assert events(tmp_path)[-1] == AuditResumed("No space left on device", kept, 100 - kept)
    assert check.check(tmp_path).faults == ()


def test_nowhere_to_write(tmp_path: Path) -> None:
    """An audit whose directory cannot be made starts in memory, and moves when it can."""
    (tmp_path / "a").write_text("in the way")
    audit = Trail(Segments(tmp_path / "a"))
    assert audit.start() is None
    assert audit.note(DaemonEnded("x")) == 0
    assert audit.problems
    (tmp_path / "a").unlink()
    audit.note(DaemonEnded("y"))

    assert audit.problems == []
    assert events(tmp_path / "a")[:2] == [DaemonEnded("x"), DaemonEnded("y")]


async def test_written_when_room_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody needs to do anything for that."""
    monkeypatch.setattr(trail, "RETRY_SECONDS", 0.01)
    audit = started(tmp_path)
    keeping = asyncio.create_task(audit.keep())
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fails)
        audit.note(DaemonEnded("x"))
        await asyncio.sleep(0.03)
        assert audit.problems
    async with asyncio.timeout(20):
        while audit.problems:  # noqa: ASYNC110  it tells nobody
            await asyncio.sleep(0.01)
    keeping.cancel()

    assert events(tmp_path)[1] == DaemonEnded("x")


def named(lines: bytes) -> list[str]:
    """Return what the events of these lines say."""
    found = [msgspec.convert(read(one).record, Entry) for one in lines.splitlines(keepends=True)]
    return [entry.event.containers for entry in found if isinstance(entry.event, DaemonEnded)]


@pytest.mark.parametrize("disk", [True, False])
@pytest.mark.parametrize("recent", [0, trail.RECENT_MAX])
async def test_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recent: int, *, disk: bool
) -> None:
    """Whoever follows gets what was, from any number on, and then each event as it comes."""
    monkeypatch.setattr(trail, "RECENT_MAX", recent)
    audit = Trail(Segments(tmp_path) if disk else MemorySink())
    audit.start()
    for word in "abc":
        audit.note(DaemonEnded(word))
    whole = [block async for block in audit.follow(0, wait=False)]
    assert named(b"".join(whole)) == ["a", "b", "c"]

    following = audit.follow(2, wait=True)
    assert named(await anext(following)) == ["c"]
    waiting = asyncio.ensure_future(_next(following))
    await asyncio.sleep(0)
    audit.note(DaemonEnded("d"))
    assert named(await waiting) == ["d"]
    await following.aclose()


async def _next(following: Any) -> bytes:
    block: bytes = await anext(following)
    return block


def test_never_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever call fails, once or for a while: the chain on disk is whole after the next event."""
    for call in WRITES:
        for nth in range(1, 6):
            directory = tmp_path / f"{call}{nth}"
            audit = Trail(Segments(directory, segment_max=400))
            with monkeypatch.context() as patch:
                patch.setattr(os, call, _failing_at(getattr(os, call), nth))
                audit.start()
                for word in "abcd":
                    audit.note(DaemonEnded(word))
            audit.note(DaemonEnded("e"))
            words = [one.containers for one in events(directory) if isinstance(one, DaemonEnded)]

            assert words == list("abcde"), (call, nth)
            assert check.check(directory).faults == (), (call, nth)


def _failing_at(call: Callable[..., Any], nth: int) -> Callable[..., Any]:
    count = 0

    def failing(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        return fails() if count == nth else call(*args, **kwargs)

    return failing
