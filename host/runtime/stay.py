"""Stays as the parent of a process that a detaching runtime leaves, and ends with its exit status.

`python -I -S stay.py PIDFILE RUNTIME ARG…`: a fresh process with nothing but the standard library.
As subreaper (prctl(2)) it inherits the process of PIDFILE when the runtime ends.
"""

import ctypes
import os
import sys

PR_SET_CHILD_SUBREAPER = 36
NOT_STARTED = 126
"""Exit status where the runtime could not start the process; it has said why."""


def main(pid_file: str, argv: list[str]) -> int:
    """Run the runtime, wait for the process that it leaves, and return its status."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    runtime = os.posix_spawn(argv[0], argv, os.environ)
    # The streams are the process's from here on: it alone decides when they end.
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    orphans: dict[int, int] = {}
    pid, status = 0, 0
    while pid != runtime:
        pid, status = os.wait()
        orphans[pid] = status
    if status:
        return NOT_STARTED
    with open(pid_file, encoding="ascii") as file:  # noqa: PTH123  pathlib would double the start
        process = int(file.read())
    while process not in orphans:
        pid, status = os.wait()
        orphans[pid] = status
    code = os.waitstatus_to_exitcode(orphans[process])
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
