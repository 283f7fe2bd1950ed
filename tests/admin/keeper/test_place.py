"""The keeper's socket and lock, below any path."""

import os
import stat
from pathlib import Path

import pytest

from admin.keeper import place
from contract import places
from contract.errors import ConflictError, MachineError, UnavailableError


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """Give a path that no socket address holds."""
    path = tmp_path / ("d" * 100) / ("e" * 100) / "run/admin.sock"
    path.parent.mkdir(parents=True)
    assert len(os.fsencode(path)) > places.SOCKET_PATH_MAX
    return path


def test_where_it_lies() -> None:
    """With a state directory below it, else at the well-known place."""
    assert place.socket_path(Path("/s")) == Path("/s/run/admin.sock")
    assert place.socket_path(None) == Path(places.KEEPER_SOCKET)


def test_a_deep_socket_is_bound_reached_and_private(deep: Path) -> None:
    """A path beyond 107 bytes works on both ends, and the socket is its owner's alone."""
    with place.bind(deep) as listening, place.connect(deep) as connection:
        accepted, _ = listening.accept()
        with accepted:
            connection.sendall(b"hello")
            assert accepted.recv(10) == b"hello"
        found = deep.stat().st_mode

    assert stat.S_ISSOCK(found)
    assert stat.S_IMODE(found) == 0o600


def test_a_dead_keepers_socket_is_replaced(tmp_path: Path) -> None:
    """A socket that nobody serves any more is no obstacle."""
    path = tmp_path / "admin.sock"
    place.bind(path).close()
    with pytest.raises(UnavailableError, match="Connection refused"):
        place.connect(path)
    with place.bind(path):
        place.connect(path).close()


@pytest.mark.parametrize("name", ["missing/admin.sock", "file/admin.sock", "none.sock"])
def test_where_no_keeper_is(tmp_path: Path, name: str) -> None:
    """No directory, a file in its place, no socket: one error that says how to start one."""
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match=name) as caught:
        place.connect(tmp_path / name)

    assert caught.value.code == "KEEPER_ABSENT"
    assert "admin serve" in caught.value.line()


def test_where_no_socket_can_be(tmp_path: Path) -> None:
    """A directory in the socket's place is named and left alone."""
    (tmp_path / "admin.sock").mkdir()
    with pytest.raises(MachineError, match="Is a directory"):
        place.bind(tmp_path / "admin.sock")

    assert (tmp_path / "admin.sock").is_dir()


def test_one_keeper_on_one_directory(tmp_path: Path) -> None:
    """The second one is told; when the first one's descriptor closes, the next may have it."""
    directory = tmp_path / "state/run"
    held = place.lock(directory)
    with pytest.raises(ConflictError, match=str(directory)) as caught:
        place.lock(directory)
    os.close(held)
    os.close(place.lock(directory))

    assert caught.value.code == "KEEPER_RUNNING"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "admin.lock").stat().st_mode) == 0o600


def test_the_lock_is_not_handed_to_programs(tmp_path: Path) -> None:
    """A session that outlives the keeper must not hold its lock."""
    held = place.lock(tmp_path / "run")

    assert not os.get_inheritable(held)
    os.close(held)


@pytest.mark.parametrize("trap", ["link", "directory", "file"])
def test_a_lock_that_cannot_be(tmp_path: Path, trap: str) -> None:
    """A link or a directory in the lock's place, a file in its directory's: named."""
    directory = tmp_path / "run"
    if trap == "file":
        directory.touch()
    else:
        directory.mkdir()
    if trap == "link":
        (directory / "admin.lock").symlink_to(tmp_path / "target")
    if trap == "directory":
        (directory / "admin.lock").mkdir()
    with pytest.raises(MachineError, match=str(directory)):
        place.lock(directory)

    assert not (tmp_path / "target").exists()


def test_no_descriptor_stays(deep: Path) -> None:
    """Binding and connecting keep only the sockets themselves open."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  names are all that counts
    with place.bind(deep), place.connect(deep):
        now = len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    assert now == before + 2
