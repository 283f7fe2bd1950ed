"""Hold a server as its subreaper, and tell for each line on stdin what its processes cost.

`python -I -m dev.hold PROGRAM ARGUMENTS…`: one JSON line an answer. Under a subreaper, because a
server's own count of its children misses those whose parent ended before them.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["descendants", "main", "memory_of"]

PR_SET_CHILD_SUBREAPER = 36
TICKS = os.sysconf("SC_CLK_TCK")
END_SECONDS = 10


def main(argv: list[str]) -> int:
    """Run the server until stdin ends."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as server:
        for _ in sys.stdin:
            print(json.dumps(_look(server)), flush=True)
        server.terminate()
        try:
            server.wait(END_SECONDS)
        finally:
            for pid in descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    return 0


def _look(server: "subprocess.Popen[bytes]") -> dict[str, float]:
    """Return CPU seconds so far, of the dead too; how many live; their memory in kB (PSS)."""
    for pid in _children(os.getpid()):
        if pid != server.pid:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
    dead = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu, live, memory = dead.ru_utime + dead.ru_stime, 0, 0
    for pid in descendants(os.getpid()):
        with contextlib.suppress(OSError):  # it ended under our eyes
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            cpu += sum(map(int, fields[11:15])) / TICKS
            live += 1
            memory += memory_of(pid)
    return {"cpu": cpu, "live": live, "memory": memory}


def memory_of(pid: int) -> int:
    """Return the memory of a process in kB, shared pages by their share (PSS). Raises OSError."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def descendants(pid: int) -> Iterator[int]:
    """Yield all that descend from a process."""
    for child in _children(pid):
        yield child
        yield from descendants(child)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
