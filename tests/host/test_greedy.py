"""The daemon as a process among clients that want too much: memory and descriptors are bounded."""

import contextlib
import functools
import re
import resource
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.test_daemon import Site

SILENT = 1000
HEAD = b"PATCH /settings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture
def hostd() -> Iterator[Site]:
    """Give a running daemon that was started with few open files."""
    directory = Path(tempfile.mkdtemp(prefix="greedy-", dir="/tmp"))
    site = Site(directory / "state", directory / "run")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = functools.partial(resource.setrlimit, resource.RLIMIT_NOFILE, (200, hard))
    site.start(preexec_fn=few)
    yield site
    for daemon in site.daemons:
        daemon.kill()
        daemon.communicate(timeout=20)
    shutil.rmtree(directory)


def megabytes(site: Site, name: str) -> float:
    """Return a figure of the daemon's memory, such as VmHWM."""
    text = Path(f"/proc/{site.daemons[0].pid}/status").read_text()
    found = re.search(rf"{name}:\s+(\d+) kB", text)
    assert found is not None
    return int(found[1]) / 1024


def connected(site: Site, who: str = "host") -> socket.socket:
    """Return a connection that has said nothing yet."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20)
    client.connect(str(site.run / "api" / who / "api.sock"))
    return client


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_50_megabytes(hostd: Site, *, chunked: bool) -> None:
    """It is 413, and the daemon's memory never held it."""
    hostd.ask("PATCH", "/settings", {"motd": "x" * 1_900_000})
    before = megabytes(hostd, "VmHWM")
    piece = b"x" * (1 << 20)
    with contextlib.closing(connected(hostd)) as client:
        if chunked:
            client.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            piece = b"%x\r\n%s\r\n" % (len(piece), piece)
        else:
            client.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % (50 << 20))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(50):
                client.sendall(piece)
        answer = client.recv(4096)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert megabytes(hostd, "VmHWM") - before < 20
    assert hostd.ask("GET", "/os").status == 200


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process open as many files as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * SILENT)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_thousand_silent_connections(hostd: Site, many_files: None) -> None:
    """They stop no request on the same socket, and cost the daemon few descriptors."""
    with contextlib.ExitStack() as stack:
        for number in range(SILENT):
            stack.enter_context(contextlib.closing(connected(hostd)))
            if number % 100 == 0:
                assert hostd.ask("GET", "/os").status == 200
        start = time.monotonic()
        for _ in range(5):
            assert hostd.ask("GET", "/os").status == 200
        assert time.monotonic() - start < 10
        open_files = len(list(Path(f"/proc/{hostd.daemons[0].pid}/fd").iterdir()))

    assert open_files < 200
    assert megabytes(hostd, "VmRSS") < 60


def test_five_hundred_containers(hostd: Site) -> None:
    """Each has its socket and answers on it; the daemon stays small."""
    names = [f"c{number}" for number in range(500)]
    hostd.write({"host-containers": {name: {"enabled": True} for name in names}})

    assert len(hostd.ask("GET", "/sheltie/v1/status").json["containers"]) == 500
    for name in (names[0], names[-1]):
        assert hostd.ask("GET", "/sheltie/v1/status", who=name).json["caller"] == name
    assert megabytes(hostd, "VmRSS") < 60


def test_broken_frames_by_the_hundred(hostd: Site) -> None:
    """Clients that break the WebSocket's rules are let go, one after another."""
    hostd.write({"host-containers": {"admin": {"enabled": True}}})
    opening = b"GET /exec HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    opening += b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA\r\n\r\n"
    for broken in (
        b"\xff\xff" * 50,
        b"\x82\xff" + b"\xff" * 8,
        b"\x81\x05hello",
        b"\x00\x80\0\0\0\0",
    ):
        for _ in range(50):
            with contextlib.closing(connected(hostd)) as client:
                client.sendall(opening + broken)
                client.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionResetError):
                    while client.recv(65536):
                        pass

    assert hostd.ask("GET", "/os").status == 200
    assert megabytes(hostd, "VmRSS") < 60
