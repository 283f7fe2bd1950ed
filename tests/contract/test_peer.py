"""Who is at the other end: the kernel's word on it, on new kernels and on old ones."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract import peer

CONNECT = """
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
sys.stdin.read()
"""


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """Give a listening socket."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/s")
        listener.listen()
        listener.settimeout(20)
        yield listener


def connected(listener: socket.socket) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Return a process that has connected, and our end of its connection."""
    argv = [sys.executable, "-I", "-S", "-c", CONNECT, listener.getsockname()]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE)
    connection, _ = listener.accept()
    return process, connection


def ended(process: subprocess.Popen[bytes]) -> None:
    """Let the process end, and reap it."""
    assert process.stdin is not None
    process.stdin.close()
    process.wait(timeout=20)


def test_another_process(listener: socket.socket) -> None:
    """The peer is the process that connected, by its number and its start."""
    process, connection = connected(listener)
    found = peer.of(connection)
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    ended(process)
    connection.close()

    assert (found.pid, found.uid, found.gid) == (process.pid, os.geteuid(), os.getegid())
    assert found.started == int(fields[19])
    assert not found.outside


def test_a_peer_that_has_gone(listener: socket.socket) -> None:
    """Of a process that is no more only the credentials are told, never another's start."""
    process, connection = connected(listener)
    ended(process)
    found = peer.of(connection)
    connection.close()

    assert (found.pid, found.started, found.cgroup) == (process.pid, 0, "")


def test_old_kernel(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel gives no pidfd of the peer it is opened by number."""
    monkeypatch.setattr(peer, "SO_PEERPIDFD", 9999)
    monkeypatch.setattr(peer, "PIDFD_GET_INFO", 0)
    process, connection = connected(listener)
    alive = peer.of(connection)
    ended(process)
    gone = peer.of(connection)
    connection.close()

    assert (alive.pid, alive.cgroup_id, gone.started) == (process.pid, 0, 0)
    assert alive.started > 0


def test_the_kernels_cgroup(listener: socket.socket) -> None:
    """Where the kernel tells the cgroup, it is the one whose path /proc gives."""
    process, connection = connected(listener)
    found = peer.of(connection)
    ended(process)
    connection.close()
    if not found.cgroup_id:
        pytest.skip("this kernel has no PIDFD_GET_INFO")
    mounts = [Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")]
    inodes = [
        path.stat().st_ino
        for mount in mounts
        if (path := mount / found.cgroup.lstrip("/")).exists() and (mount / "cgroup.procs").exists()
    ]
    if not inodes:
        pytest.skip("no cgroup2 is mounted here")

    assert found.cgroup_id in inodes


def test_outside_has_no_number() -> None:
    """A peer whose pid has no number here is outside, and nothing is looked up by number 0."""
    assert peer.Peer(0, 0, 0).outside
