"""What the ledger costs: a snapshot of 500 processes, and a listener beside who changes files.

`python -I -m dev.bench_ledger` measures in a stand-in host of its own; with and without are
interleaved.
"""

import json
import os
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from admin.ledger import reading
from admin.ledger.listener import Listener
from admin.report import network
from admin.ssh.frame import Channel
from contract.errors import FailedError, SheltieError
from dev.standin import bring_down, bring_up

__all__ = ["rows"]

CLONE = Path(__file__).resolve().parents[1]
PROCESSES = 500
ROUNDS = 9
SECONDS = 300
TOUCHES = 300
GOAL_MS = 300
Row = tuple[str, str, str]


def rows() -> list[Row]:
    """Measure; return rows for the table. Raises SheltieError."""
    with tempfile.TemporaryDirectory(prefix="bench-ledger-") as directory:
        record, state = Path(directory, "record.json"), Path(directory, "state")
        state.mkdir()
        bring_up(record=record, binds=[CLONE], state=state, net=True, follow_parent=True)
        try:
            argv = [sys.executable, "-I", "-m", "dev.enter", "--record", str(record), "--"]
            argv += [sys.executable, "-I", "-m", "dev.bench_ledger", "inside", str(state)]
            done = subprocess.run(
                argv, capture_output=True, text=True, check=False, timeout=SECONDS
            )
        finally:
            bring_down(record)
    if done.returncode:
        why = done.stderr.strip().splitlines() or ["no reason given"]
        raise FailedError(f"the ledger could not be measured: {why[-1]}", code="BENCH_FAILED")
    found: dict[str, float] = json.loads(done.stdout)
    shown = [
        (f"the ledger's snapshot, {PROCESSES} processes", f"{found['snapshot']:.0f} ms",
         f"goal < {GOAL_MS} ms"),
    ]  # fmt: skip
    for name in ("touch", "build"):
        bare, ours = found[f"{name} alone"], found[f"{name} watched"]
        beside = f"{ours / bare:.2f} x without a listener ({bare:.0f} ms)"
        shown.append((f"a {name} loop while the ledger listens", f"{ours:.0f} ms", beside))
    return shown


def _inside(state: Path) -> dict[str, float]:
    """Measure on the host that we are in."""
    sleepers = [subprocess.Popen(["sleep", str(SECONDS)]) for _ in range(PROCESSES)]
    try:
        found = {"snapshot": statistics.median(_time(_snapshot) for _ in range(ROUNDS))}
    finally:
        for one in sleepers:
            one.kill()
        for one in sleepers:
            one.wait()
    touch = f"for i in $(seq {TOUCHES}); do touch {state}/t; rm {state}/t; done"
    build = f"echo 'int main(void){{return 0;}}' >{state}/x.c; gcc -o {state}/x {state}/x.c"
    for name, script in (("touch", touch), ("build", f"for i in $(seq 10); do {build}; done")):
        alone, watched = [], []
        for _ in range(ROUNDS):
            alone.append(_time(lambda script=script: _shell(script)))  # type: ignore[misc]
            ear, pid = _listen()
            watched.append(_time(lambda script=script: _shell(script)))  # type: ignore[misc]
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            ear.close()
        found[f"{name} alone"] = statistics.median(alone)
        found[f"{name} watched"] = statistics.median(watched)
    return found


def _snapshot() -> None:
    try:
        ruleset: list[str] | str = network.firewall().lines
    except SheltieError as error:
        ruleset = error.message
    reading.read(ruleset)


def _listen() -> tuple[socket.socket, int]:
    """Start a listener in a child; return our end, once its marks stand, and its pid."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    house, child = os.getpid(), os.fork()
    if not child:
        try:
            ours.close()
            theirs.setblocking(False)  # noqa: FBT003  its only form
            entry = str(CLONE / "admin/sheltie/host.py")
            # Nobody here is a session's: what is measured is the price for all others.
            listener = Listener(Channel(theirs, object), house, entry, bounded=False)
            listener.begin()
            listener.run()
        finally:
            os._exit(1)
    theirs.close()
    if not select.select([ours], [], [], SECONDS)[0] or not ours.recv(1 << 16):
        raise FailedError("the listener did not begin", code="BENCH_FAILED")
    return ours, child


def _shell(script: str) -> None:
    subprocess.run(["sh", "-ec", script], check=True, stdin=subprocess.DEVNULL)


def _time(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1e3


def main(words: list[str]) -> int:
    """Print the rows, or inside the stand-in the figures."""
    try:
        if words[:1] == ["inside"]:
            print(json.dumps(_inside(Path(words[1]))))
            return 0
        for name, figure, beside in rows():
            print(f"{name:45}  {figure:>10}  {beside}")
    except SheltieError as error:
        print(f"bench: {error.line()}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
