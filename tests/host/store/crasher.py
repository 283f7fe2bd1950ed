"""Commits once, in a process that kills itself at the Nth system call that writes.

argv: DIRECTORY N VALUES; with `open` for VALUES it only opens the store. Ends by SIGKILL, or by
exit status 0 when N was not reached.
"""

import json
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
            count += 1
            if count == limit:
                if call is os.write and len(args[1]) > 1:
                    call(args[0], args[1][: len(args[1]) // 2])  # a torn write
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return guarded

    for name in ("write", "fsync", "rename", "unlink", "open", "fchmod", "mkdir", "close"):
        setattr(os, name, guard(getattr(os, name)))


def main() -> None:
    """Open the store, arm the trap, commit what is pending."""
    sys.path.insert(0, str(ROOT))
    from contract.peer import Peer
    from host.callers import Caller
    from host.store.files import FileStore
    from host.store.transactions import Transactions

    if sys.argv[3] == "open":
        _arm(int(sys.argv[2]))
        FileStore(Path(sys.argv[1]))
        return
    transactions = Transactions(FileStore(Path(sys.argv[1])), now=lambda: "2026-02-02T00:00:00Z")
    control = Caller("control")
    values = json.loads(sys.argv[3])
    _arm(int(sys.argv[2]))
    transactions.stage(control, "t", values)
    transactions.commit(control, Peer(1, 2, 3), "t")


main()
