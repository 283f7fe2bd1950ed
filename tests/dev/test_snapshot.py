"""Snapshots of a host: what came and what went is seen."""

import socket
import subprocess
from pathlib import Path

from dev import snapshot


def test_equal_snapshots_have_no_differences() -> None:
    """A snapshot compared with itself shows nothing."""
    taken = {"mounts": ["a", "b"], "processes": ["1 init"]}

    assert snapshot.differences(taken, taken) == []


def test_what_came_and_what_went_is_named() -> None:
    """Each difference is one line with its sign and its kind."""
    before = {"mounts": ["a"], "processes": ["1 init", "2 sh"]}
    after = {"mounts": ["a", "b"], "processes": ["1 init"]}

    assert snapshot.differences(before, after) == ["+ mounts b", "- processes 2 sh"]


def test_a_listening_socket_is_seen(tmp_path: Path) -> None:
    """A Unix socket that listens is in the table, one that is only bound is not."""
    listening, bound = tmp_path / "listening", tmp_path / "bound"
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        one.bind(str(listening))
        one.listen()
        other.bind(str(bound))
        seen = snapshot._sockets(Path("/proc/self/net"))

    assert f"unix {listening}" in seen
    assert f"unix {bound}" not in seen


def test_a_listening_port_is_seen() -> None:
    """A TCP port that listens is in the table, by its hexadecimal address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        seen = snapshot._sockets(Path("/proc/self/net"))

    assert f"tcp 0100007F:{port:04X}" in seen


def test_processes_are_listed_but_not_the_kernels() -> None:
    """A process of somebody else is listed by pid and name; kernel threads are not."""
    with subprocess.Popen(["sleep", "60"]) as process:
        seen = snapshot._processes()
        process.kill()

    assert f"{process.pid} sleep" in seen
    assert not any("kthreadd" in line for line in seen)
