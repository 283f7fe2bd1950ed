"""Telling when user-data changes, on a real directory."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from admin.keeper import watch as watching
from contract.durable import write_file


class Count:
    """How often a change was told."""

    def __init__(self) -> None:
        self.told = asyncio.Event()

    def __call__(self) -> None:
        """Take note of a change."""
        self.told.set()

    async def after(self, act: Callable[[], object]) -> None:
        """Act, and wait until a change is told."""
        self.told.clear()
        act()
        await self.first()

    async def first(self) -> None:
        """Wait until a change is told."""
        async with asyncio.timeout(20):
            await self.told.wait()


@asynccontextmanager
async def watched(path: Path) -> AsyncIterator[Count]:
    """Watch a path meanwhile."""
    count = Count()
    task = asyncio.create_task(watching.watch(path, count))
    await count.first()
    yield count
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again soon where nothing can be watched."""
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.05)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a file in a directory of its own."""
    made = tmp_path / "persistent/user-data"
    made.parent.mkdir()
    made.write_text("one")
    return made


async def test_each_kind_of_change_is_told(path: Path) -> None:
    """Written in place, replaced by rename, taken away, and put there again."""
    async with watched(path) as count:
        await count.after(lambda: path.write_text("two"))
        await count.after(lambda: write_file(path, b"three"))
        await count.after(path.unlink)
        await count.after(lambda: write_file(path, b"four"))
        await count.after(lambda: path.rename(path.with_name("elsewhere")))
        await count.after(lambda: path.with_name("elsewhere").rename(path))


async def test_other_files_are_no_change(path: Path) -> None:
    """What happens beside the file is not told; what then happens to it is."""
    seen: list[str] = []
    async with watched(path) as count:
        count.told.clear()
        path.with_name("user-data.new").write_text("x")
        path.with_name("etc").mkdir()
        path.with_name("user-data.new").unlink()
        # Events come in order: when the loop has read these, it has read all before them.
        for _ in range(20):
            await asyncio.sleep(0)
        seen.append("told" if count.told.is_set() else "silent")
        await count.after(lambda: path.write_text("two"))

    assert seen == ["silent"]


async def test_a_directory_removed_and_made_again(path: Path) -> None:
    """The removal is told, and changes in the new directory are told too."""
    async with watched(path) as count:
        for _ in range(3):
            await count.after(lambda: shutil.rmtree(path.parent))
            path.parent.mkdir()
            await _noticed(path.parent)
            await count.after(lambda: path.write_text("again"))


async def test_a_directory_moved_away_and_replaced(path: Path, tmp_path: Path) -> None:
    """A directory swapped by rename is followed by its name, not by its inode."""
    async with watched(path) as count:
        other = tmp_path / "other"
        other.mkdir()
        await count.after(lambda: (path.parent.rename(tmp_path / "old"), other.rename(path.parent)))
        await _noticed(path.parent)
        await count.after(lambda: path.write_text("new"))


async def test_a_missing_directory(tmp_path: Path) -> None:
    """Without a directory the file is looked for now and then, until there is one to watch."""
    path = tmp_path / "not/there/user-data"
    async with watched(path) as count:
        path.parent.mkdir(parents=True)
        await _noticed(path.parent)
        await count.after(lambda: path.write_text("there"))


async def test_a_storm_of_changes_blocks_nothing(path: Path) -> None:
    """Thousands of changes, more than the kernel's queue holds, end in one that is told."""
    others = [path.with_name("a"), path.with_name("b")]
    others[0].touch()
    async with watched(path) as count:
        for turn in range(_queue_length() + 10):
            others[turn % 2].rename(others[1 - turn % 2])
        await count.after(lambda: path.write_text("last"))
        await count.after(lambda: path.write_text("and again"))


async def test_no_descriptor_stays(path: Path) -> None:
    """A watch that ended, and the ones before it, left no descriptor open."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  names are all that counts
    async with watched(path) as count:
        await count.after(lambda: shutil.rmtree(path.parent))
        path.parent.mkdir()
        await _noticed(path.parent)

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def _queue_length() -> int:
    return min(int(Path("/proc/sys/fs/inotify/max_queued_events").read_text()), 20_000)


async def _noticed(directory: Path) -> None:
    """Wait until an inotify descriptor of this process watches the directory."""
    async with asyncio.timeout(20):
        while not _watches(directory):  # noqa: ASYNC110  the kernel's table tells nobody
            await asyncio.sleep(0.01)


def _watches(directory: Path) -> bool:
    inode = f"ino:{directory.stat().st_ino:x} "
    return any(inode in text for text in _inotify())


def _inotify() -> list[str]:
    texts = []
    for path in Path("/proc/self/fdinfo").iterdir():
        try:
            texts.append(path.read_text())
        except FileNotFoundError:
            continue
    return texts
