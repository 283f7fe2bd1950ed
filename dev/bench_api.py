"""What the API costs: a daemon of its own without containers, beside the least that could serve.

The baselines are a bare asyncio server with a fixed answer, and the four system calls of a durable
write. Sides are interleaved; figures are medians.
"""

import asyncio
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.durable import write_file
from contract.errors import FailedError
from dev.site import PYTHON

__all__ = ["rows"]

Row = tuple[str, str, str]

REQUESTS = 1000
TRANSACTIONS = 1000
IDLE_SECONDS = 5.0
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))

    def ask(self, method: str, target: str, body: bytes = b"") -> bytes:
        """Return the body of a successful answer."""
        self.request(method, target, body, {"content-type": "application/json"})
        response = self.getresponse()
        data = response.read()
        if response.status >= 300:  # noqa: PLR2004  RFC 9110: success
            raise FailedError(f"{method} {target}: {response.status} {data!r}", code="BENCH")
        return data


def rows() -> list[Row]:
    """Measure, and return name, figure and what it stands beside."""
    # Short: a socket's path ends at 107 bytes (unix(7)).
    with tempfile.TemporaryDirectory(prefix="sb-", dir="/tmp") as directory:
        place = Path(directory)
        with _daemon(place) as (pid, path):
            found = [_reading(path, place), *_writing(path, place)]
            return [*found, *_resting(pid)]


@contextmanager
def _daemon(place: Path) -> Iterator[tuple[int, Path]]:
    path = place / "api.sock"
    argv = [PYTHON, "-I", "-m", "host", "serve", "--state", str(place / "state")]
    argv += ["--run", str(place / "run"), "--socket", str(path), "--runtime", "none"]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as process:
        try:
            _wait(path)
            yield process.pid, path
        finally:
            process.terminate()


@contextmanager
def _bare(place: Path) -> Iterator[Path]:
    """Serve the fixed answer in a process of its own."""
    path = place / "bare.sock"
    argv = [sys.executable, "-I", "-m", "dev.bench_api", str(path)]
    with subprocess.Popen(argv) as process:
        try:
            _wait(path)
            yield path
        finally:
            process.terminate()


def _wait(path: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(path))
        except OSError:
            time.sleep(0.02)
        else:
            connection.close()
            return
    raise FailedError(f"nobody answers at {path}", code="BENCH")


def _reading(path: Path, place: Path) -> Row:
    with _bare(place) as bare:
        ours, theirs = _Connection(path), _Connection(bare)
        ours_ms, theirs_ms = [], []
        for _ in range(REQUESTS):
            ours_ms.append(_time(lambda: ours.ask("GET", "/settings")))
            theirs_ms.append(_time(lambda: theirs.ask("GET", "/settings")))
    p50, base = statistics.median(ours_ms), statistics.median(theirs_ms)
    beside = f"{p50 / base:.1f} x a bare asyncio server ({base:.2f} ms); goal < 2 ms"
    return "GET /settings, p50", f"{p50:.2f} ms", beside


def _writing(path: Path, place: Path) -> list[Row]:
    connection, times, bare = _Connection(path), [], []
    target = place / "bare.json"
    for number in range(TRANSACTIONS):

        def commit(number: int = number) -> None:
            body = json.dumps({"motd": f"number {number}"}).encode()
            connection.ask("PATCH", "/settings?tx=bench", body)
            connection.ask("POST", "/tx/commit_and_apply?tx=bench")

        times.append(_time(commit))
        bare.append(_time(lambda: write_file(target, b"x" * 200)))
    p50, base = statistics.median(times), statistics.median(bare)
    first, last = statistics.median(times[:100]), statistics.median(times[-100:])
    return [
        (
            "a transaction, committed and fsynced, p50",
            f"{p50:.2f} ms",
            f"{p50 / base:.1f} x one durable write ({base:.2f} ms)",
        ),
        (
            "the last 100 of 1,000 transactions",
            f"{last:.2f} ms",
            f"{last / first:.2f} x the first 100; goal: no slowing",
        ),
    ]


def _resting(pid: int) -> list[Row]:
    before = _cpu(pid)
    time.sleep(IDLE_SECONDS)
    used = (_cpu(pid) - before) / IDLE_SECONDS * 100
    resident = _resident(pid)
    return [
        ("the daemon at rest: CPU", f"{used:.1f} %", "goal 0"),
        ("the daemon's memory", f"{resident / 2**20:.0f} MiB", "goal < 60 MiB resident"),
    ]


def _cpu(pid: int) -> float:
    """Return the seconds of CPU that a process used (proc_pid_stat(5))."""
    text = Path(f"/proc/{pid}/stat").read_text()
    fields = text[text.rindex(")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _time(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1e3


async def _serve(path: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(ANSWER)
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_unix_server(answer, path)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
