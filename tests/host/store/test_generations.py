"""Generations on disk: bounded, durable, and what a broken live file falls back on."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import MachineError
from contract.peer import Peer
from host.callers import HOST
from host.store.files import FileStore
from host.store.generations import Generations
from host.store.memory import MemoryStore
from host.store.state import Handed, Live
from host.store.transactions import Transactions

KEY = Handed("ssh-ed25519 AAAA", "control", 1000, "2026-01-01T00:00:00Z")
ROOT = Peer(1, 0, 0)
BROKEN = [b"", b"{", b"\0" * 64, b'{"version": 1}', b"[]"]


def filled(directory: Path, count: int = 3) -> FileStore:
    """Return a store of some commits, all with a key handed over."""
    store = FileStore(directory)
    for number in range(1, count + 1):
        store.replace(Live({"settings.motd": f"{number}"}, (KEY,), number))
    return store


@pytest.mark.parametrize("content", BROKEN)
def test_broken_live_file(tmp_path: Path, content: bytes) -> None:
    """A broken live file falls back on the last generation, says so, and is kept beside it."""
    filled(tmp_path)
    (tmp_path / "live.json").write_bytes(content)
    store = FileStore(tmp_path)

    assert store.live() == Live({"settings.motd": "3"}, (KEY,), 3)
    (problem,) = store.problems
    assert "live.json" in problem
    assert "generation 3 was taken instead" in problem
    assert store.recovered == problem
    assert (tmp_path / "live.broken").read_bytes() == content
    again = FileStore(tmp_path)
    assert (again.live(), again.problems) == (store.live(), [])


def test_missing_live_file(tmp_path: Path) -> None:
    """A live file that is gone is no new host: there were commits."""
    filled(tmp_path)
    (tmp_path / "live.json").unlink()
    store = FileStore(tmp_path)

    assert store.live().serial == 3
    assert "is gone; generation 3 was taken instead" in store.problems[0]


def test_broken_generations_too(tmp_path: Path) -> None:
    """The last one that can be read counts; numbers go on behind it."""
    filled(tmp_path)
    (tmp_path / "live.json").write_bytes(b"")
    (tmp_path / "generations" / "3.json").write_bytes(b"{")
    store = FileStore(tmp_path)
    assert store.live().settings == {"settings.motd": "2"}
    store.replace(Live({"settings.motd": "new"}, (), 3))

    assert FileStore(tmp_path).live() == Live({"settings.motd": "new"}, (), 3)
    assert [one.number for one in FileStore(tmp_path).generations()] == [1, 2, 3]


def test_nothing_to_fall_back_on(tmp_path: Path) -> None:
    """With no generation that can be read the start fails, and nothing is touched."""
    filled(tmp_path, 1)
    for path in (tmp_path / "live.json", tmp_path / "generations" / "1.json"):
        path.write_bytes(b"x")

    with pytest.raises(MachineError) as caught:
        FileStore(tmp_path)
    assert caught.value.code == "STORE_UNREADABLE"
    assert (tmp_path / "live.json").read_bytes() == b"x"


def test_another_releases_file_is_left_alone(tmp_path: Path) -> None:
    """A newer live file is not put back by an older release."""
    filled(tmp_path)
    newer = b'{"version": 2, "something": "else"}'
    (tmp_path / "live.json").write_bytes(newer)

    with pytest.raises(MachineError) as caught:
        FileStore(tmp_path)
    assert caught.value.code == "STORE_FORMAT"
    assert (tmp_path / "live.json").read_bytes() == newer


@pytest.mark.parametrize("copy", [True, False])
def test_broken_keys(tmp_path: Path, *, copy: bool) -> None:
    """Keys that cannot be read come from the commit's copy; without one nobody has them."""
    filled(tmp_path)
    (tmp_path / "handed.json").write_bytes(b"{")
    if not copy:
        (tmp_path / "generations" / "3.json").unlink()
    store = FileStore(tmp_path)

    assert store.live() == Live({"settings.motd": "3"}, (KEY,) if copy else (), 3)
    assert "handed.json" in store.problems[0]


def test_an_older_live_file(tmp_path: Path) -> None:
    """A live file from a backup counts, under a number that none had before."""
    filled(tmp_path, 1)
    backup = (tmp_path / "live.json").read_bytes()
    filled_more = FileStore(tmp_path)
    filled_more.replace(Live({"settings.motd": "2"}, (KEY,), 2))
    filled_more.replace(Live({"settings.motd": "3"}, (KEY,), 3))
    (tmp_path / "live.json").write_bytes(backup)
    store = FileStore(tmp_path)

    assert store.live() == Live({"settings.motd": "1"}, (KEY,), 4)
    assert store.generation(3).settings == {"settings.motd": "3"}
    assert FileStore(tmp_path).live() == store.live()


def test_a_copy_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit stands, status says what lacks, and the next start has the copy."""
    store = filled(tmp_path, 1)
    rename = os.rename

    def refuse(source: Path, target: Path) -> None:
        if target.parent.name == "generations":
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", refuse)
        store.replace(Live({"settings.motd": "2"}, (), 2))
    assert store.live().serial == 2
    assert store.problems == ["generation 2 could not be kept: No space left on device"]
    again = FileStore(tmp_path)

    assert again.generation(2) == again.live() == store.live()
    assert again.problems == []


def test_bounded(tmp_path: Path) -> None:
    """Only so many are kept, and only so many bytes; the live one and one more in any case."""
    kept = Generations(tmp_path, kept=5, bytes_max=3000)
    for number in range(1, 10):
        kept.keep(Live({"settings.motd": "x"}, (), number))
    assert [one.number for one in kept.listed()] == [5, 6, 7, 8, 9]
    for number in (10, 11, 12):
        kept.keep(Live({"settings.motd": "x" * 5000}, (), number))

    assert [one.number for one in kept.listed()] == [11, 12]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["11.json", "12.json"]
    assert Generations(tmp_path).last == 12


SETTINGS = st.dictionaries(
    st.sampled_from([f"settings.host-containers.{name}.enabled" for name in ("admin", "a", "b")]),
    st.booleans(),
)


@given(st.lists(SETTINGS.filter(bool), min_size=1, max_size=6), st.data())
def test_restore_brings_back_all_of_it(commits: list[Any], data: st.DataObject) -> None:
    """Whatever was committed since: a restored generation's settings are live again."""
    transactions = Transactions(MemoryStore())
    for values in commits:
        transactions.stage(HOST, "t", values)
        transactions.commit(HOST, ROOT, "t")
    number = data.draw(st.integers(1, len(commits)))
    before = transactions.live.settings
    wanted = transactions.generation(number).settings
    changed = transactions.restore(HOST, ROOT, number)

    assert transactions.live.settings == wanted
    assert transactions.live.serial == len(commits) + 1
    assert transactions.live.origin.restored == number
    both = before.keys() | wanted.keys()
    assert changed == sorted(name for name in both if before.get(name) != wanted.get(name))
