"""What is compared: rows of small tables, a snapshot of them all, and the difference. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import msgspec

__all__ = [
    "Account",
    "Change",
    "Fact",
    "Kept",
    "Module",
    "Mount",
    "Namespace",
    "Process",
    "Row",
    "Rule",
    "Snapshot",
    "Socket",
    "Sysctl",
    "Unit",
    "differences",
    "plain",
]

Whose = Literal["session", "perhaps"]
"""The kernel told that the session's own processes did it; or it happened meanwhile."""


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is otherwise than before."""

    table: str
    what: str
    name: str
    before: str = ""
    after: str = ""
    whose: Whose = "perhaps"

    def line(self) -> str:
        """Return the one line that a person reads."""
        if self.before and self.after:
            told = f": {self.before} -> {self.after}"
        else:
            told = f" ({self.before or self.after})" if self.before or self.after else ""
        doubt = "" if self.whose == "session" else "; meanwhile, by whom is not known"
        return f"{self.table} {self.what}: {self.name}{told}{doubt}"


class Row(msgspec.Struct, frozen=True):
    """A row: `name` says which thing it is, `value` how it is."""

    TABLE: ClassVar[str] = ""
    FIXED: ClassVar[bool] = False
    """Whether only a new value is news, and no row that comes or goes."""

    @property
    def name(self) -> str:
        """Which thing it is. Each row says so; a Struct takes no abstract method."""
        raise NotImplementedError

    @property
    def value(self) -> str:
        """How it is; nothing where being there is all."""
        return ""


class Mount(Row, frozen=True):
    """A line of mountinfo (proc_pid_mountinfo(5))."""

    TABLE: ClassVar[str] = "mount"

    point: str
    kind: str
    source: str
    root: str
    options: str
    device: str = ""
    """Major and minor number; not compared."""

    @property
    def name(self) -> str:
        """The mount point."""
        return self.point

    @property
    def value(self) -> str:
        """What is mounted there."""
        root = "" if self.root == "/" else f" {self.root}"
        return f"{self.kind} {self.source}{root} {self.options}"


class Sysctl(Row, frozen=True):
    """A kernel setting that can be written."""

    TABLE: ClassVar[str] = "sysctl"
    FIXED: ClassVar[bool] = True  # those of network interfaces come and go with them

    path: str
    """Below /proc/sys."""
    text: str

    @property
    def name(self) -> str:
        """The path, which has no ambiguous dots."""
        return self.path

    @property
    def value(self) -> str:
        """The setting in one line."""
        return " ".join(self.text.split()) or '""'


class Module(Row, frozen=True):
    """A kernel module."""

    TABLE: ClassVar[str] = "module"

    module: str

    @property
    def name(self) -> str:
        """Its name."""
        return self.module


class Socket(Row, frozen=True):
    """A socket that waits for others."""

    TABLE: ClassVar[str] = "socket"

    protocol: str
    local: str
    inode: str
    """By which its owner is found; not compared."""

    @property
    def name(self) -> str:
        """Protocol and address."""
        return f"{self.protocol} {self.local}"


class Unit(Row, frozen=True):
    """A unit of systemd's that runs."""

    TABLE: ClassVar[str] = "unit"

    unit: str

    @property
    def name(self) -> str:
        """Its name."""
        return self.unit


class Account(Row, frozen=True):
    """A user, a group or a password; `about` never holds a secret."""

    TABLE: ClassVar[str] = "account"

    kind: str
    account: str
    about: str

    @property
    def name(self) -> str:
        """Which account."""
        return f"{self.kind} {self.account}"

    @property
    def value(self) -> str:
        """Its numbers, home and shell; of a password a digest."""
        return self.about


class Kept(Row, frozen=True):
    """A small file that lets others in or starts work: authorized_keys, cron's."""

    TABLE: ClassVar[str] = "entrance"

    path: str
    digest: str
    mode: str

    @property
    def name(self) -> str:
        """Its path."""
        return self.path

    @property
    def value(self) -> str:
        """Mode and digest of what is in it."""
        return f"{self.mode} {self.digest[:16]}"


class Namespace(Row, frozen=True):
    """A namespace, and the pid or the path that holds it."""

    TABLE: ClassVar[str] = "namespace"

    kind: str
    inode: int
    holder: str
    """Not compared: who is asked first holds it."""

    @property
    def name(self) -> str:
        """As /proc/PID/ns has it."""
        return f"{self.kind}:[{self.inode}]"


class Rule(Row, frozen=True):
    """A line of the packet filter, behind its table and chain."""

    TABLE: ClassVar[str] = "firewall"

    place: str
    text: str

    @property
    def name(self) -> str:
        """The rule where it stands."""
        return f"{self.place}: {self.text}" if self.place else self.text


class Fact(Row, frozen=True):
    """Something that there is one of."""

    TABLE: ClassVar[str] = "kernel"
    FIXED: ClassVar[bool] = True

    fact: str
    text: str

    @property
    def name(self) -> str:
        """What it is."""
        return self.fact

    @property
    def value(self) -> str:
        """How it is."""
        return self.text


class Process(Row, frozen=True):
    """A process that is alive; kernel threads are none."""

    TABLE: ClassVar[str] = "process"

    pid: int
    parent: int
    started: int
    """In clock ticks after boot; with the pid it names the process for good."""
    command: str
    audit: int
    cgroup: str

    @property
    def name(self) -> str:
        """The pid, and what ps calls it."""
        return f"{self.pid} {self.command}"

    @property
    def value(self) -> str:
        """When it began."""
        return str(self.started)


class Snapshot(msgspec.Struct, frozen=True):
    """All tables at one moment; those that could not be read are `unread`, with why."""

    mounts: tuple[Mount, ...] = ()
    sysctls: tuple[Sysctl, ...] = ()
    modules: tuple[Module, ...] = ()
    sockets: tuple[Socket, ...] = ()
    units: tuple[Unit, ...] = ()
    accounts: tuple[Account, ...] = ()
    entrances: tuple[Kept, ...] = ()
    namespaces: tuple[Namespace, ...] = ()
    rules: tuple[Rule, ...] = ()
    facts: tuple[Fact, ...] = ()
    processes: tuple[Process, ...] = ()
    unread: dict[str, str] = {}

    def changes(self, after: "Snapshot") -> list[Change]:
        """Return what is otherwise in `after`; a table that one of both lacks is left out."""
        left_out = {*self.unread, *after.unread}
        found: list[Change] = []
        for name in self.__struct_fields__:
            if name != "unread" and name not in left_out:
                found += differences(getattr(self, name), getattr(after, name))
        return found


def plain(text: str) -> str:
    """Return a name as every message can hold it, whatever bytes are in it."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


def differences(before: Sequence[Row], after: Sequence[Row]) -> Iterator[Change]:
    """Yield what came, went or changed between two readings of one table.

    Rows of one name are told apart by their values: two mounts on one point are two.
    """
    old, new = _by_name(before), _by_name(after)
    for name in dict.fromkeys([*old, *new]):
        gone, come = _without(old[name], new[name]), _without(new[name], old[name])
        for one, other in zip(gone, come, strict=False):
            yield Change(one.TABLE, "changed", name, one.value, other.value)
        pairs = min(len(gone), len(come))
        for one in gone[pairs:]:
            if not one.FIXED:
                yield Change(one.TABLE, "removed", name, before=one.value)
        for one in come[pairs:]:
            if not one.FIXED:
                yield Change(one.TABLE, "added", name, after=one.value)


def _by_name(rows: Sequence[Row]) -> defaultdict[str, list[Row]]:
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.name].append(row)
    return found


def _without(rows: list[Row], others: list[Row]) -> list[Row]:
    """Return the rows whose value none of `others` has, each of those taken once."""
    values = [one.value for one in others]
    found = []
    for row in rows:
        if row.value in values:
            values.remove(row.value)
        else:
            found.append(row)
    return found
