"""Who belongs to a session, by each of its marks; read anew each time, and killed by pidfd."""

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from admin.end.marks import UNSET, Marks

__all__ = ["Process", "by_audit", "everybody", "kill", "look", "members"]

_DEAD = frozenset({"Z", "X"})


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
        with open(f"/proc/{pid}/stat", errors="replace") as file:  # noqa: PTH123  a fork is fast too
            text = file.read()
    except OSError:
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    return Process(pid, int(fields[1]), fields[0], int(fields[19]), name)


def everybody() -> dict[int, Process]:
    """Return all processes by their pids."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208  likewise
    return {one.pid: one for one in map(look, pids) if one is not None}


def members(marks: Marks) -> list[Process]:
    """Return who is alive and descends from the session or bears its audit session id."""
    table = everybody()
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
            pids = (Path(place) / "cgroup.procs").read_text().split()
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


def _audit(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/sessionid", "rb") as file:  # noqa: PTH123  likewise
            return int(file.read())
    except (OSError, ValueError):
        return UNSET
