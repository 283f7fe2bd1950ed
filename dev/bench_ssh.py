"""What admin's SSH server costs, beside OpenSSH's sshd: same client, user, key, algorithms, shell.

Both run as processes of ours on loopback ports, and are measured in turn in one run: ratios hold,
absolute figures are this machine's.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from contract.errors import FailedError
from dev.bench_ssh_bulk import by_exec, by_sftp, to_the_deaf
from dev.beside import Row, row, timed
from dev.servers import Server, make, run

__all__ = ["main", "rows"]

LOGINS = 31
BATCH = 64
PARALLEL = 8
ECHOES = 500
ECHO_BLOCK = 50
IDLE_SESSIONS = 8
MANY_SESSIONS = 200
STARTS = 7


def rows() -> list[Row]:
    """Measure, and return name, figure and what it stands beside. Raises SheltieError."""
    with (
        tempfile.TemporaryDirectory(prefix="sb-", dir="/tmp") as directory,
        make(Path(directory)) as servers,
    ):
        found = [_starts(servers), *_memory(servers)]
        with ExitStack() as stack:
            for one in servers:
                stack.callback(one.stop)
                one.start()
                run(one.ssh("true"))
            found += [_login(servers), *_batch(servers), *_echo(servers)]
            found += by_exec(servers, Path(directory)) + by_sftp(servers, Path(directory))
            found.append(to_the_deaf(servers, Path(directory)))
    return found


def _starts(servers: tuple[Server, Server]) -> Row:
    times: list[list[float]] = [[], []]
    for _ in range(STARTS):
        for one, mine in zip(servers, times, strict=True):
            try:
                mine.append(one.start() * 1e3)
            finally:
                one.stop()
    return row("start to banner, the holder's start included", "ms", times, "<= 250 ms")


def _memory(servers: tuple[Server, Server]) -> list[Row]:
    """Open idle sessions on servers that served one login: before it they are still loading."""
    few: list[list[float]] = []
    many: list[list[float]] = []
    whole: list[list[float]] = []
    for one in servers:
        one.start()
        with ExitStack() as stack:
            stack.callback(one.stop)
            live = one.look()["live"]
            run(one.ssh("true"))
            before = one.settle(live)["memory"]
            for count in range(1, MANY_SESSIONS + 1):
                argv = one.ssh("echo up; exec sleep 3000", "-tt")
                client = stack.enter_context(_talking(argv))
                _expect(client, b"up")
                if count == IDLE_SESSIONS:
                    few.append([(one.look()["memory"] - before) / count / 1024])
            after = one.look()["memory"]
            many.append([(after - before) / MANY_SESSIONS / 1024])
            whole.append([after / 1024])
    return [
        row("memory of an idle session on a terminal", "MB", few, "<= 2 x"),
        row(f"the same with {MANY_SESSIONS} of them", "MB", many),
        row(f"memory of everything, {MANY_SESSIONS} sessions", "MB", whole),
    ]


def _login(servers: tuple[Server, Server]) -> Row:
    times: list[list[float]] = [[], []]
    for _ in range(LOGINS):
        for one, mine in zip(servers, times, strict=True):
            mine.append(timed(lambda one=one: run(one.ssh("true"))) * 1e3)  # type: ignore[misc]
    return row("connect, log in, run true", "ms", times, "<= 1 x")


def _batch(servers: tuple[Server, Server]) -> list[Row]:
    """Log in many at once: CPU of all processes, orphans included, once all of them are gone."""
    rates: list[list[float]] = [[], []]
    costs: list[list[float]] = [[], []]
    for _ in range(3):
        for place, one in enumerate(servers):
            before = one.settle(one.look()["live"])
            with ThreadPoolExecutor(PARALLEL) as pool:
                begun = time.perf_counter()
                for done in [pool.submit(run, one.ssh("true")) for _ in range(BATCH)]:
                    done.result()
                rates[place].append(BATCH / (time.perf_counter() - begun))
            after = one.settle(before["live"])
            costs[place].append((after["cpu"] - before["cpu"]) / BATCH * 1e3)
    name = f"logins a second, {PARALLEL} at once"
    return [
        row(name, "/s", rates, ">= 1.3 x"),
        row("CPU of a login", "ms", costs, "<= 0.85 x"),
    ]


@contextmanager
def _talking(argv: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a client on pipes, and end it."""
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, bufsize=0) as client:
        try:
            yield client
        finally:
            client.kill()


def _expect(client: "subprocess.Popen[bytes]", word: bytes) -> None:
    assert client.stdout is not None  # noqa: S101  a pipe
    seen = b""
    while word not in seen:
        piece = client.stdout.read(64)
        if not piece:
            raise FailedError(f"a client ended: {seen!r}", code="BENCH_FAILED")
        seen += piece


def _echo(servers: tuple[Server, Server]) -> list[Row]:
    """Type a key and wait for its echo by the terminal's own discipline, block by block."""
    delays: list[list[float]] = [[], []]
    with ExitStack() as stack:
        clients = []
        for one in servers:
            client = stack.enter_context(_talking(one.ssh("echo up; exec cat >/dev/null", "-tt")))
            _expect(client, b"up\r\n")
            clients.append(client)
        for _ in range(ECHOES // ECHO_BLOCK):
            for client, mine in zip(clients, delays, strict=True):
                mine += [timed(lambda one=client: _key(one)) * 1e3 for _ in range(ECHO_BLOCK)]  # type: ignore[misc]
    late = [[statistics.quantiles(one, n=100)[98]] for one in delays]
    return [
        row("echo in a terminal, p50", "ms", delays, "<= 1 ms"),
        row("echo in a terminal, p99", "ms", late),
    ]


def _key(client: "subprocess.Popen[bytes]") -> None:
    assert client.stdin is not None  # noqa: S101  a pipe
    client.stdin.write(b"x")
    _expect(client, b"x")


def main() -> int:
    """Print the table alone."""
    found = rows()
    width = max(len(row[0]) for row in found)
    for name, figure, beside in found:
        print(f"{name:{width}}  {figure:>10}  {beside}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
