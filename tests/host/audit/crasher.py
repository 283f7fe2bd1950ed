"""Writes events in a process that kills itself at the Nth system call that writes.

argv: DIRECTORY N. Prints the number of each event once it is told. Ends by SIGKILL, or by exit
status 0 when N was not reached.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]


def _arm(limit: int) -> None:
    count = 0

    def guard(call: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            if call is write and args[0] == 1:
                return call(*args, **kwargs)
            count += 1
            if count == limit:
                if call is write and len(args[1]) > 1:
                    call(args[0], args[1][: len(args[1]) // 2])  # a torn write
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return guarded

    write = os.write
    for name in ("write", "fsync", "open", "fchmod", "ftruncate", "mkdir", "unlink", "close"):
        setattr(os, name, guard(getattr(os, name)))


def main() -> None:
    """Open the audit, arm the trap, write."""
    sys.path.insert(0, str(ROOT))
    from contract.audit.segments import Segments
    from contract.event import DaemonEnded
    from host.audit.trail import Trail

    _arm(int(sys.argv[2]))
    # Segments so small that some are begun and some are dropped on the way.
    trail = Trail(Segments(Path(sys.argv[1]), segment_max=1000, kept=2))
    trail.start()
    for number in range(20):
        seq = trail.note(DaemonEnded(f"event {number}"))
        assert not trail.status().degraded
        os.write(1, f"{seq} {trail.status().head}\n".encode())


main()
