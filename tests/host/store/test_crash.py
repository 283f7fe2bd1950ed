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
    for limit in range(1, 60):
        directory = tmp_path / str(limit)
        shutil.copytree(template, directory)
        killed = _commit_and_die(directory, limit, values)
        found = FileStore(directory)
        assert found.live() in (old, new), limit
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


def _commit_and_die(directory: Path, limit: int, values: dict[str, Any]) -> bool:
    argv = [sys.executable, "-I", os.fspath(CRASHER), os.fspath(directory), str(limit)]
    done = subprocess.run([*argv, json.dumps(values)], check=False, capture_output=True, timeout=30)
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr.decode()
    return done.returncode != 0


def _usable(store: FileStore) -> None:
    """Commit once more and read it back: no crash may leave a store that cannot go on."""
    transactions = Transactions(store)
    transactions.stage(HOST, "t", {"settings.motd": "later"})
    transactions.commit(HOST, Peer(1, 0, 0), "t")
