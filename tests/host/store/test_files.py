"""The store on disk: what outlives a start, what does not, and files that cannot be read."""

import os
from pathlib import Path

import pytest

from contract.errors import MachineError
from host.store.files import FileStore
from host.store.state import Handed, Live

KEY = Handed("ssh-ed25519 AAAA", "control", 1000, "2026-01-01T00:00:00Z")


def test_live_outlives_a_start_and_pending_does_not(tmp_path: Path) -> None:
    """A new start finds what was committed and drops what was only pending."""
    live = Live({"settings.motd": "x", "settings.n": [1]}, (KEY,), 1, "now")
    store = FileStore(tmp_path)
    store.replace(live)
    store.put("host", "a", {"settings.motd": "y"})

    again = FileStore(tmp_path)

    assert (again.live(), list(again.names("host"))) == (live, [])


def test_modes(tmp_path: Path) -> None:
    """Files are 0600 in 0700 directories: user-data holds secrets."""
    store = FileStore(tmp_path / "s")
    store.replace(Live({"settings.motd": "x"}, (KEY,), 1))
    store.put("host", "a", {"settings.motd": "y"})

    paths = [tmp_path / "s", *(tmp_path / "s").rglob("*")]
    assert len(paths) == 8
    for path in paths:
        assert path.stat().st_mode & 0o7777 == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize("name", ["live.json", "handed.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 1}', b"\xff", b"null"])
def test_unreadable_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    """A file that cannot be understood stops the start with one line that names it, untouched."""
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(MachineError) as caught:
        FileStore(tmp_path)

    assert caught.value.code == "STORE_UNREADABLE"
    assert str(path) in caught.value.line()
    assert path.read_bytes() == content


def test_later_format_is_refused(tmp_path: Path) -> None:
    """A file of a later release is not guessed at."""
    (tmp_path / "live.json").write_bytes(
        b'{"version": 2, "serial": 1, "opened": "", "settings": {}}'
    )

    with pytest.raises(MachineError, match="format version 2, this release reads 1"):
        FileStore(tmp_path)


def test_full_disk_leaves_the_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full a commit fails, and the old state stands in memory and on disk."""
    store = FileStore(tmp_path)
    old = Live({"settings.motd": "old"}, (), 1)
    store.replace(old)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.write", full)
        with pytest.raises(MachineError, match="No space left"):
            store.replace(Live({"settings.motd": "new"}, (KEY,), 2))

    assert (store.live(), FileStore(tmp_path).live()) == (old, old)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_keys_of_a_commit_that_did_not_happen_stay_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys written for a failed commit do not come true when a later one reaches its number."""
    store = FileStore(tmp_path)
    rename = os.rename

    def fail_live(source: Path, target: Path) -> None:
        if target.name == "live.json":
            raise OSError(5, "Input/output error")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("os.rename", fail_live)
        with pytest.raises(MachineError):
            store.replace(Live({}, (KEY,), 1))
    again = FileStore(tmp_path)
    assert again.live() == Live()
    again.replace(Live({"settings.motd": "x"}, (), 1))

    assert FileStore(tmp_path).live() == Live({"settings.motd": "x"}, (), 1)
