"""One session's ledger: what was before, what its processes did, what is otherwise after. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from admin.end.deputies import Moment
from admin.ledger import parse
from admin.ledger.messages import EXEC
from admin.ledger.tables import Change, Namespace, Process, Row, Snapshot
from admin.ledger.tally import File, Tally

__all__ = ["Span", "still"]

ACCOUNT_FILES = {"user": "/etc/passwd", "group": "/etc/group", "password": "/etc/shadow"}
UNIT_ENDS = (".service", ".scope")
FILES = frozenset({"account", "entrance"})
NAMED_ELSEWHERE = frozenset({"process", "namespace"})


@dataclass
class Span:
    """A session, from its beginning to its end."""

    key: str
    user: str
    began: str
    """RFC 3339 in UTC."""
    moment: Moment
    clock: float
    """In seconds, as files' times are."""
    audit: int = 0
    before: Snapshot | None = None
    root: bool = False
    """Whether its login is root's: then it needs neither sudo nor sheltie to change something."""
    entered: bool = False
    """Whether sheltie or sudo was begun: what is read from now on is no `before`."""
    early: bool = False
    """Whether `before` was read before the session began."""
    watched: bool = True
    """Whether the listener saw all of it."""
    mounts_told: bool = True
    """Whether the kernel tells who mounts."""
    lost: int = 0
    overflowed: bool = False
    asking: set[int] = field(default_factory=set)
    """Of those that entered, who did no more than ask the ledger."""
    pids: set[int] = field(default_factory=set)
    points: set[str] = field(default_factory=set)
    """Where its processes mounted or unmounted."""
    doubts: set[str] = field(default_factory=set)
    """Where somebody did of whom nobody knows whose they were."""
    sysctls: set[str] = field(default_factory=set)
    tally: Tally = field(default_factory=Tally)

    def may_differ(self) -> bool:
        """Whether anything can be otherwise: nobody is root without root's login, sudo, sheltie."""
        seen = self.tally.paths() or self.points or self.sysctls or self.lost or self.overflowed
        return bool(self.root or self.entered or not self.watched or seen)

    def changes(self, after: Snapshot, files: Mapping[str, File | None]) -> list[Change]:
        """Return what is otherwise after the session, its own deeds first."""
        found = [*self.tally.changes(files, self.clock)]
        if self.before is not None:
            touched = {parse.inner(path, after.mounts) for path in self.tally.touched()}
            for one in self.before.changes(after):
                path = ACCOUNT_FILES.get(one.name.split()[0], one.name)
                if one.table in FILES and parse.inner(path, after.mounts) in touched:
                    found.append(msgspec.structs.replace(one, whose="session"))
                elif one.table not in NAMED_ELSEWHERE:
                    found += self._judged(one)
            found += self._processes(after)
            found += self._namespaces(after)
        return sorted(found, key=lambda one: one.whose != "session")

    def notes(self, after: Snapshot | None) -> Iterator[str]:
        """Yield what this ledger may have missed, or counts too much."""
        if not self.watched:
            yield "files were not watched all the time"
        if self.overflowed:
            yield "OVERFLOW: so much happened at once that some of it is not named"
        if self.lost:
            yield f"{self.lost} changes are of files whose names could not be found"
        if self.tally.more:
            yield f"there are {self.tally.more} more changes of files than are named"
        if self.before is None or after is None:
            yield "the host's tables could not be read"
            return
        if self.early:
            yield "the tables were read a while before: what the host did meanwhile may be among it"
        for name, why in {**self.before.unread, **after.unread}.items():
            yield f"{name} could not be read: {why}"

    def _judged(self, one: Change) -> Iterator[Change]:
        """Yield a change with whose it is; nothing where the kernel tells that it is another's."""
        ours = msgspec.structs.replace(one, whose="session")
        match one.table:
            case "mount":
                if one.name in self.points:
                    yield ours
                # Of new options the kernel does not tell, nor of who was gone when it was asked.
                elif not self.mounts_told or one.what == "changed" or one.name in self.doubts:
                    yield one
            case "sysctl":
                yield ours if one.name in self.sysctls else one
            case _:
                yield one

    def _processes(self, after: Snapshot) -> Iterator[Change]:
        """Yield who is left: the session's own, and orphans that no unit looks after."""
        known = {(one.pid, one.started) for one in (self.before or after).processes}
        table = {one.pid: one for one in after.processes}
        for one in after.processes:
            if (one.pid, one.started) in known or one.started < self.moment.ticks:
                continue
            if self._is_ours(one, table):
                yield Change("process", "left running", one.name, after=one.value, whose="session")
            elif one.parent == 1 and not _is_looked_after(one):
                yield Change("process", "left running", one.name, after=one.value)

    def _is_ours(self, one: Process, table: Mapping[int, Process]) -> bool:
        if self.key != EXEC:
            return (one.audit == self.audit and self.audit != 0) or f"/{self.key}" in one.cgroup
        seen = set[int]()
        while one.pid not in seen:
            if one.pid in self.pids:
                return True
            seen.add(one.pid)
            parent = table.get(one.parent)
            if parent is None:
                return False
            one = parent
        return False

    def _namespaces(self, after: Snapshot) -> Iterator[Change]:
        """Yield namespaces that a mount keeps: processes and their own are told of apart."""
        known = {(one.kind, one.inode) for one in (self.before or after).namespaces}
        for one in after.namespaces:
            if (one.kind, one.inode) not in known and _is_pinned(one):
                ours = one.holder in self.points
                if ours or not self.mounts_told:
                    whose = "session" if ours else "perhaps"
                    yield Change("namespace", "kept", one.name, after=one.holder, whose=whose)  # type: ignore[arg-type]


def still(change: Change, now: Snapshot, files: Mapping[str, File | None]) -> bool:
    """Whether what changed is as the session left it."""
    if change.table in ("file", "setuid"):
        there = files.get(change.name) is not None
        return there != (change.what in ("removed", "renamed"))
    if change.table == "deputy":
        return True
    if change.table == "namespace":
        return any(one.name == change.name for one in now.namespaces)
    rows = [(one.TABLE, one.name, one.value) for one in _rows(now)]
    if change.what == "removed":
        return (change.table, change.name) not in [row[:2] for row in rows]
    return (change.table, change.name, change.after) in rows


def _rows(now: Snapshot) -> Iterator[Row]:
    for name in now.__struct_fields__:
        if name != "unread":
            yield from getattr(now, name)


def _is_looked_after(one: Process) -> bool:
    """Whether a process stands in a unit's cgroup: whoever began it knows of it."""
    return any(part.endswith(UNIT_ENDS) for part in one.cgroup.split("/"))


def _is_pinned(one: Namespace) -> bool:
    return one.holder.startswith("/")
