"""The end itself: ask, freeze and kill the cgroup, then hunt by the other marks until it is quiet.

The caller is the session process. Afterwards its children are reaped by the kernel.
"""

import select
import signal
import time
from collections.abc import Iterable

from admin.end.marks import Marks
from admin.end.members import Process, by_audit, kill, members, nobody

__all__ = ["GRACE_SECONDS", "SECONDS", "end"]

GRACE_SECONDS = 1.0
"""For programs that tidy up when they are asked to end."""
SECONDS = 4.0
"""For everything. What does not die by then hangs in the kernel, and is named."""
QUIET_ROUNDS = 3
QUIET_LOOKS = 2
LOOK_SECONDS = 0.02


def end(marks: Marks, *, grace: float = GRACE_SECONDS, seconds: float = SECONDS) -> list[Process]:
    """End whoever belongs to the session; return who could not be ended."""
    deadline = time.monotonic() + seconds
    # The kernel reaps from here on: zombies would make each look slower than a fork.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    if nobody(marks):
        marks.remove()  # everybody ended with the program: the rule, and there is nobody to hunt
        return []
    if members(marks):
        _ask(marks, min(deadline, time.monotonic() + grace))
    marks.kill()
    quiet = 0
    while quiet < QUIET_ROUNDS and time.monotonic() < deadline:
        quiet = 0 if _strike(by_audit(marks)) else quiet + 1
    quiet = 0
    while quiet < QUIET_LOOKS and time.monotonic() < deadline:
        quiet = 0 if _strike(members(marks)) else quiet + 1
    left = members(marks) if quiet < QUIET_LOOKS else []
    while marks.populated() and time.monotonic() < deadline:
        marks.kill()  # who bears no other mark is still dying
        select.select([], [], [], LOOK_SECONDS)
    marks.remove()
    return left


def _ask(marks: Marks, deadline: float) -> None:
    """Ask everybody to end, and wait for that until `deadline`."""
    for one in members(marks):
        kill(one, signal.SIGTERM)
        kill(one, signal.SIGCONT)  # else a stopped one would never hear it
    while members(marks) and time.monotonic() < deadline:
        select.select([], [], [], LOOK_SECONDS)


def _strike(processes: Iterable[Process]) -> int:
    struck = 0
    for one in processes:
        kill(one)
        struck += 1
    return struck
