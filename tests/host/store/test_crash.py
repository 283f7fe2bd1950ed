"""kill -9 at each call that writes: afterwards the state is the old one or the new one, whole."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from contract.peer import Peer
from host.callers import ADMIN_ENABLED, ADMIN_USER_DATA, HOST, Caller
from host.store.files import FileStore
from host.store.state import Live
from host.store.transactions import Transactions, committed
from tests.host.keys import keys

CONTROL = Caller("control")
CRASHER = Path(__file__).with_name("crasher.py")
NOW = "2026-02-02T00:00:00Z"


ENABLE = {ADMIN_ENABLED: True, ADMIN_USER_DATA: keys(1, 2)}
DISABLE = {ADMIN_ENABLED: False}


@pytest.mark.parametrize(
    ("before", "values"), [([], ENABLE), ([ENABLE], DISABLE), ([DISABLE], {ADMIN_ENABLED: True})]
)
def test_old_or_new(tmp_path: Path, before: list[dict[str, Any]], values: dict[str, Any]) -> None:
    """Whichever write is the last one, keys and settings are both old or both new."""
    template = tmp_path / "template"
    old = _prepared(template, before)
    new = committed(old, values, CONTROL, 2, NOW)
    seen = set()
    for limit in range(1, 90):
        directory = tmp_path / str(limit)
        shutil.copytree(template, directory)
        killed = _die(directory, limit, json.dumps(values))
        found = FileStore(directory)
        assert found.live() in (old, new), limit
        assert found.problems == [], limit
        # Whichever it is, it is kept, and so is what was before it.
        kept = [one.number for one in found.generations()]
        assert kept == list(range(1, found.live().serial + 1)), limit
        assert found.generation(kept[-1]) == found.live(), limit
        assert list(found.names("control")) == [], limit
        assert not [path for path in directory.iterdir() if path.name.startswith(".")], limit
        seen.add(found.live() == new)
        assert killed or found.live() == new
        _usable(found)
        if not killed:
            break
    else:
        pytest.fail("the trap was always sprung")
    assert seen == {True, False}


def _prepared(directory: Path, commits: list[dict[str, Any]]) -> Live:
    transactions = Transactions(FileStore(directory), now=lambda: "2026-01-01T00:00:00Z")
    transactions.stage(HOST, "t", {"settings.motd": "the owner's"})
    transactions.commit(HOST, Peer(1, 0, 0), "t")
    for values in commits:
        transactions.stage(CONTROL, "t", values)
        transactions.commit(CONTROL, Peer(1, 2, 3), "t")
    return transactions.live


@pytest.mark.parametrize("broken", ["live.json", "handed.json"])
def test_falling_back_and_dying(tmp_path: Path, broken: str) -> None:
    """A fall-back can itself be killed at any write: the next start has the same state."""
    template = tmp_path / "template"
    live = _prepared(template, [ENABLE])
    (template / broken).write_bytes(b"{")
    for limit in range(1, 90):
        directory = tmp_path / str(limit)
        shutil.copytree(template, directory)
        killed = _die(directory, limit, "open")
        found = FileStore(directory)
        assert found.live() == live, limit
        _usable(found)
        assert FileStore(directory).problems == [], limit
        if not killed:
            break
    else:
        pytest.fail("the trap was always sprung")


def _die(directory: Path, limit: int, values: str) -> bool:
    argv = [sys.executable, "-I", os.fspath(CRASHER), os.fspath(directory), str(limit), values]
    done = subprocess.run(argv, check=False, capture_output=True, timeout=30)
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr.decode()
    return done.returncode != 0


def _usable(store: FileStore) -> None:
    """Commit once more and read it back: no crash may leave a store that cannot go on."""
    transactions = Transactions(store)
    transactions.stage(HOST, "t", {"settings.motd": "later"})
    transactions.commit(HOST, Peer(1, 0, 0), "t")
