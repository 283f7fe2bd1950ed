"""Who belongs to a session, by each of its marks; read anew each time, and killed by pidfd."""

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass

from admin.end import proc
from admin.end.marks import UNSET, Marks

__all__ = ["Process", "births", "by_audit", "kill", "look", "members", "nobody", "pids"]

_DEAD = frozenset({"Z", "X"})
_LOOKS_MAX = 16
"""Where births never pause for a look, a hunt must make sure."""


@dataclass(frozen=True)
class Process:
    """What /proc/PID/stat says of a process."""

    pid: int
    parent: int
    state: str
    started: int
    """In clock ticks after boot."""
    name: str

    @property
    def alive(self) -> bool:
        """Whether it can still do something."""
        return self.state not in _DEAD


def look(pid: int) -> Process | None:
    """Return a process, or None when there is none."""
    try:
        text = proc.read(f"/proc/{pid}/stat").decode(errors="replace")
    except OSError:
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    return Process(pid, int(fields[1]), fields[0], int(fields[19]), name)


def pids() -> list[int]:
    """Return the pids of all processes."""
    # Bare: a fork is fast too.
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208


def births() -> int | None:
    """Return how many processes and threads were born since boot (proc_stat(5)), if it is told."""
    found = re.search(rb"^processes (\d+)$", proc.read("/proc/stat"), re.MULTILINE)
    return int(found[1]) if found else None


def nobody(marks: Marks) -> bool:
    """Whether it is certain that nobody is left: a look that finds nobody, and no birth meanwhile.

    Who is faster than a look must fork, and the kernel counts every fork; the next look is at the
    newborn only, and short. The caller is the session's process, a subreaper: as long as somebody
    descends from it, it has a child. Of a watcher (`admin.end.watch`) nobody descends.
    """
    seen = {marks.pid}
    for _ in range(_LOOKS_MAX):
        born = births()
        if born is None or _has_children() or marks.populated():
            return False
        if marks.audit != UNSET or marks.others:
            newborn = [pid for pid in pids() if pid not in seen]
            if any(marks.bears(_audit(pid)) for pid in newborn):
                return False
            seen.update(newborn)
        if born == births():
            return True
    return False


def members(marks: Marks) -> list[Process]:
    """Return who is alive and descends from the session or bears its audit session id."""
    table = {one.pid: one for one in map(look, pids()) if one is not None}
    children: dict[int, list[int]] = {}
    for one in table.values():
        children.setdefault(one.parent, []).append(one.pid)
    found, open_ = set[int](), [marks.pid]
    while open_:
        below = children.get(open_.pop(), [])
        open_ += [pid for pid in below if pid not in found]
        found.update(below)
    found.update(pid for pid in table if marks.bears(_audit(pid)))
    found.discard(marks.pid)
    return [table[pid] for pid in sorted(found) if table[pid].alive]


def by_audit(marks: Marks) -> Iterator[Process]:
    """Yield who bears the audit session id, found through the cgroups: faster than all of /proc."""
    if marks.hierarchy is None or not (marks.others or marks.bears(marks.audit)):
        return
    for place, _, _ in os.walk(marks.hierarchy):
        try:
            pids = proc.read(f"{place}/cgroup.procs").split()
        except OSError:
            continue  # removed meanwhile, or a threaded one, whose processes another lists
        for pid in map(int, pids):
            if pid not in (0, marks.pid) and marks.bears(_audit(pid)):
                found = look(pid)
                if found is not None and found.alive:
                    yield found


def kill(process: Process, number: int = signal.SIGKILL) -> None:
    """Signal a process, and nobody who got its pid since."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except OSError:
        return  # gone
    try:
        now = look(process.pid)
        if now is not None and now.started == process.started:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(pidfd, number)
    finally:
        os.close(pidfd)


def _has_children() -> bool:
    """Reap who is dead; return whether a child lives."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _audit(pid: int) -> int:
    try:
        return int(proc.read(f"/proc/{pid}/sessionid"))
    except (OSError, ValueError):
        return UNSET
