"""The end of a session that nobody holds: of what `/exec` started, when its first process is gone.

`python -I -m admin.end.watch PIDFD NAME HIERARCHY CGROUP`: started by `admin.sheltie.execution`,
and nobody's child. It waits for the process, and ends whoever bears a mark: the cgroup, or an audit
session id that sheltie wrote down under NAME. It is no ancestor of theirs, so descent is no mark.
"""

import os
import select
import sys
from pathlib import Path

from admin.end.ending import end
from admin.end.marks import Marks
from admin.sheltie.execution import RECORDS

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """Wait, then end."""
    pidfd, name, hierarchy, cgroup = arguments
    poll = select.poll()
    poll.register(int(pidfd), select.POLLIN)
    poll.poll()
    record = Path(RECORDS, name)
    try:
        words = record.read_text().split()
    except OSError:
        words = []  # nobody could be marked so
    others = frozenset(int(word) for word in words if word.isdigit())
    end(Marks(os.getpid(), Path(cgroup), Path(hierarchy), others=others))
    record.unlink(missing_ok=True)


if __name__ == "__main__":
    main(sys.argv[1:])
