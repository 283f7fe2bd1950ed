"""Work that a daemon of the host's began while a session ran: named, with the tool that stops it.

Nothing tells for whom a deputy (atd, systemd, a container engine) works: what it starts bears none
of the session's marks. So whatever began meanwhile in a place of a deputy's is named, and nothing
is stopped unasked: it may be the host's own work.
"""

import array
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from admin.end import proc
from admin.end.members import Process, births, look, pids

__all__ = ["Left", "Moment", "now", "of_cgroup", "since"]

_ID = r"([0-9a-f]{64}|[0-9a-f]{12})"
# Kind, the last components of a cgroup's path, and the tool.
_PLACES: tuple[tuple[str, re.Pattern[str], tuple[str, ...]], ...] = (
    ("podman", re.compile(rf"/libpod-{_ID}(?:\.scope)?(?:/|$)"), ("podman", "stop")),
    ("docker", re.compile(rf"/docker(?:-|/){_ID}(?:\.scope)?(?:/|$)"), ("docker", "stop")),
    ("cri", re.compile(rf"(?:cri-containerd[:-]|crio-){_ID}"), ("crictl", "stop")),
    (
        "systemd-run",
        re.compile(r"/(run-(?:p\d+-i\d+|u\d+|r[0-9a-f]+)\.(?:service|scope))(?:/|$)"),
        ("systemctl", "stop"),
    ),
)
_SPOOLERS = {"atd": "at", "cron": "cron", "crond": "cron"}
"""Daemons whose children are jobs, in the daemon's own cgroup."""
_ENGINES = frozenset({"conmon", "containerd-shim", "containerd-shim-runc-v2"})
"""Keepers of a container, which end with it."""
_ANCESTORS_MAX = 64
_REUSED = 16384
"""After so many births a pid may be somebody else's: half of pid_max's least default (proc(5))."""


@dataclass(frozen=True)
class Left:
    """Work that is left running."""

    kind: str
    name: str
    """The unit, container or process, as its tool knows it."""
    pids: tuple[int, ...]
    stop: tuple[str, ...]
    """The host's command that ends it."""

    def line(self) -> str:
        """Return the one line that a person reads."""
        command = " ".join(self.stop)
        return f"LEFT RUNNING {self.name[:64]} ({self.kind}): stop it with `sheltie {command}`"


@dataclass(frozen=True)
class Moment:
    """A moment, and who lived then: only who did not is looked at afterwards."""

    ticks: int
    """In clock ticks after boot; no process started later is before."""
    born: int | None
    pids: bytes
    """Packed: an idle session keeps them."""


def now() -> Moment:
    """Return this moment."""
    ours = look(os.getpid())
    ticks = os.sysconf("SC_CLK_TCK")
    uptime = float(proc.read("/proc/uptime").split()[0])
    least = max(int(uptime * ticks) - 1, ours.started if ours else 0)
    return Moment(least, births(), array.array("i", pids()).tobytes())


def since(moment: Moment) -> list[Left]:
    """Return what deputies began since `moment`, this container apart."""
    ours = tuple(path.rstrip("/") for path in _cgroups(os.getpid()) if path != "/")
    found: dict[tuple[str, str], tuple[list[int], tuple[str, ...]]] = {}
    for pid in _newcomers(moment):
        one = look(pid)
        if one is None or not one.alive or one.started < moment.ticks or one.name in _ENGINES:
            continue
        paths = [path for path in _cgroups(pid) if not _is_within(path, ours)]
        placed = _place(one, paths)
        if placed is not None:
            kind, name, stop = placed
            found.setdefault((kind, name), ([], stop))[0].append(pid)
    return [Left(kind, name, tuple(pids), stop) for (kind, name), (pids, stop) in found.items()]


def _newcomers(moment: Moment) -> list[int]:
    """Return the pids that nobody had then; all where one may have been given out twice."""
    born = births()
    if born is None or moment.born is None or born - moment.born > _REUSED:
        return pids()
    then = set(array.array("i", moment.pids))
    return [pid for pid in pids() if pid not in then]


def of_cgroup(path: str) -> tuple[str, str, tuple[str, ...]] | None:
    """Return the kind of a deputy's place, the name there, and the command that ends it."""
    for kind, pattern, tool in _PLACES:
        match = pattern.search(path)
        if match is not None:
            return kind, match[1], (*tool, match[1])
    return None


def _place(one: Process, paths: list[str]) -> tuple[str, str, tuple[str, ...]] | None:
    for path in paths:
        placed = of_cgroup(path)
        if placed is not None:
            return placed
    for ancestor in _ancestors(one):
        if ancestor.name in _SPOOLERS:
            return _SPOOLERS[ancestor.name], f"process {one.pid}", ("kill", str(one.pid))
    return None


def _ancestors(one: Process) -> Iterator[Process]:
    """Yield parents upwards; looked up one by one, so bounded should they change meanwhile."""
    for _ in range(_ANCESTORS_MAX):
        parent = look(one.parent)
        if parent is None:
            return
        yield parent
        one = parent


def _is_within(path: str, places: tuple[str, ...]) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in places)


def _cgroups(pid: int) -> list[str]:
    """Return the paths of a process in every hierarchy, as /proc/PID/cgroup has them."""
    try:
        lines = os.fsdecode(proc.read(f"/proc/{pid}/cgroup")).splitlines()
    except OSError:
        return []
    return [line.split(":", 2)[2] for line in lines]
