"""Containers' sockets: made when wanted, gone when not, and each is its caller's identity."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.peer import Peer
from host.api.listener import ContainerDoors
from host.callers import ADMIN_ENABLED, HOST
from host.house import House
from host.store.memory import MemoryStore
from host.store.transactions import Transactions
from tests.host.api.client import ask, raw
from tests.host.local import LocalContainers

LONG = "x" * 76


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[ContainerDoors]:
    """Give doors under a directory whose path is longer than a socket's may be."""
    directory = tmp_path / ("deep" * 30)
    directory.mkdir()
    doors = ContainerDoors(directory)
    doors.serve(House(Transactions(MemoryStore()), LocalContainers(), doors))
    yield doors
    await doors.close()


def socket_of(doors: ContainerDoors, name: str) -> Path:
    """Return a path to the container's socket that is short enough to connect to."""
    link = Path(f"/tmp/door-{os.getpid()}")
    link.unlink(missing_ok=True)
    link.symlink_to(doors._directory / name)
    return link / "api.sock"


@pytest.mark.parametrize("name", ["admin", LONG])
async def test_the_socket_is_the_identity(doors: ContainerDoors, name: str) -> None:
    """Whoever calls over a container's socket is that container."""
    await doors.want([name])
    path = socket_of(doors, name)
    answer = await ask(path, "GET", "/sheltie/v1/status")
    path.parent.unlink()

    assert answer.json["caller"] == name


async def test_unwanted_sockets_go_and_directories_stay(doors: ContainerDoors) -> None:
    """A container that is disabled loses its socket; its directory is the one that it mounted."""
    await doors.want(["admin", "control"])
    directory = doors._directory / "admin"
    inode = directory.stat().st_ino
    await doors.want(["control"])
    assert list(directory.iterdir()) == []
    await doors.want(["control", "admin"])

    assert (directory.stat().st_ino, [path.name for path in directory.iterdir()]) == (
        inode,
        ["api.sock"],
    )
    assert directory.stat().st_mode & 0o7777 == 0o750


async def test_one_bad_directory_holds_up_no_other(
    doors: ContainerDoors, caplog: pytest.LogCaptureFixture
) -> None:
    """Where one container's socket cannot be made, that is said, and the others have theirs."""
    (doors._directory / "admin").mkdir()
    (doors._directory / "admin" / "api.sock").write_text("in the way")
    await doors.want(["admin", "control"])

    assert (doors._directory / "control" / "api.sock").is_socket()
    assert "no-socket container=admin" in caplog.text


async def test_a_container_cannot_bend_the_daemons_path(
    doors: ContainerDoors, tmp_path: Path
) -> None:
    """Links that a container lays in its directory lead the daemon nowhere."""
    precious = tmp_path / "precious"
    precious.write_text("x")
    group = precious.stat().st_gid
    directory = doors._directory / "admin"
    directory.mkdir()
    (directory / ".api.sock.new").symlink_to(precious)
    await doors.want(["admin"])

    assert (directory / "api.sock").is_socket()
    assert (precious.read_text(), precious.stat().st_gid) == ("x", group)


async def test_closing_a_door_leaves_its_caller_the_answer(doors: ContainerDoors) -> None:
    """A container that disables itself still hears that this worked."""
    house = doors._house
    assert house is not None
    house.transactions.stage(HOST, "t", {ADMIN_ENABLED: True})
    house.transactions.commit(HOST, Peer(1, 0, 0), "t")
    await house.apply()
    path = socket_of(doors, "admin")
    patch = b'{"host-containers":{"admin":{"enabled":false}}}'
    head = b"PATCH /settings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(patch)
    commit = b"POST /tx/commit_and_apply HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await raw(path, head + patch + commit)
    path.parent.unlink()

    assert answer.endswith(b'["settings.host-containers.admin.enabled"]')
    assert not (doors._directory / "admin" / "api.sock").exists()
