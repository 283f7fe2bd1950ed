"""Rows out of what the kernel and a few well-known files say. Pure."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence

from admin.ledger.tables import Account, Mount, Namespace, Process, Rule

__all__ = [
    "accounts",
    "digest",
    "homes",
    "inner",
    "mounts",
    "pinned",
    "process",
    "rules",
    "unit_trees",
]

KERNEL_THREAD = 0x00200000  # PF_KTHREAD of include/linux/sched.h
NSFS = re.compile(r"([a-z_]+):\[(\d+)\]")
_OCTAL = re.compile(r"\\([0-7]{3})")
NO_AUDIT = 0xFFFFFFFF
STAT_FIELDS = 20
MOUNT_FIELDS = 6


def mounts(mountinfo: str) -> tuple[Mount, ...]:
    """Return the mounts of a mountinfo (proc_pid_mountinfo(5))."""
    found = []
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields, about = left.split(), right.split()
        if len(fields) >= MOUNT_FIELDS and len(about) >= 2:  # noqa: PLR2004  kind and source
            found.append(
                Mount(
                    point=_unescaped(fields[4]),
                    kind=about[0],
                    source=_unescaped(about[1]),
                    root=_unescaped(fields[3]),
                    options=fields[5],
                    device=fields[2],
                )
            )
    return tuple(found)


def unit_trees(mountinfo: str) -> list[str]:
    """Return where the hierarchies lie in which systemd keeps its units."""
    found = []
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        about = right.split()
        if about[:1] == ["cgroup2"] or (about[:1] == ["cgroup"] and "name=systemd" in about[-1]):
            found.append(_unescaped(left.split()[4]))
    return found


def inner(path: str, rows: Sequence[Mount]) -> tuple[str, str]:
    """Return the device that a path lies on and where on it: the same for each way to it."""
    best = None
    for row in rows:  # of several at one point the last is the one seen
        inside = row.point in ("/", path) or path.startswith(f"{row.point}/")
        if inside and (best is None or len(row.point) >= len(best.point)):
            best = row
    if best is None:
        return "", path
    below = path if best.point == "/" else path[len(best.point) :]
    return best.device, f"{best.root.rstrip('/')}{below}"


def pinned(rows: Iterable[Mount]) -> Iterator[Namespace]:
    """Yield the namespaces that a mount keeps (namespaces(7): a bind of /proc/PID/ns/KIND)."""
    for row in rows:
        known = NSFS.fullmatch(row.root)
        if row.kind == "nsfs" and known:
            yield Namespace(known[1], int(known[2]), row.point)


def accounts(passwd: str, group: str, shadow: str) -> tuple[Account, ...]:
    """Return users, groups and passwords; of a password only a digest of its line."""
    found = [Account("user", *_split(line)) for line in _entries(passwd)]
    found += [Account("group", *_split(line)) for line in _entries(group)]
    found += [
        Account("password", line.partition(":")[0], digest(line.encode(errors="replace"))[:16])
        for line in _entries(shadow)
    ]
    return tuple(found)


def homes(passwd: str) -> list[str]:
    """Return the home directories, each once."""
    found = [fields[5] for line in _entries(passwd) if len(fields := line.split(":")) > 5]  # noqa: PLR2004
    return list(dict.fromkeys(one for one in found if one.startswith("/")))


def rules(ruleset: Iterable[str]) -> tuple[Rule, ...]:
    """Return the lines of nft's `list ruleset`, each behind the blocks that it stands in."""
    found, blocks = [], list[str]()
    for line in map(str.strip, ruleset):
        if line.endswith("{"):
            found.append(Rule(" ".join(blocks), line[:-1].strip()))
            blocks.append(line[:-1].strip())
        elif line == "}":
            del blocks[-1:]
        elif line:
            found.append(Rule(" ".join(blocks), line))
    return tuple(found)


def process(pid: int, stat: str, cgroup: str = "", audit: str = "") -> Process | None:
    """Return a process out of its files in /proc; None for a kernel thread or a dead one."""
    name, _, rest = stat.partition("(")[2].rpartition(")")
    fields = rest.split()
    if len(fields) < STAT_FIELDS or fields[0] in "ZX" or int(fields[6]) & KERNEL_THREAD:
        return None
    number = audit.strip()
    return Process(
        pid=pid,
        parent=int(fields[1]),
        started=int(fields[19]),
        command=name,
        audit=int(number) if number.isascii() and number.isdigit() else NO_AUDIT,
        cgroup=_unified(cgroup),
    )


def digest(data: bytes) -> str:
    """Return the SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def _unified(cgroup: str) -> str:
    """Return the path in version 2's hierarchy, or in systemd's own of version 1."""
    paths = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in _entries(cgroup)}
    return paths.get("") or paths.get("name=systemd") or ""


def _entries(text: str) -> list[str]:
    return [line for line in text.splitlines() if ":" in line and not line.startswith("#")]


def _split(line: str) -> tuple[str, str]:
    """Return name and the rest, without the field where a password could stand."""
    name, _, rest = line.partition(":")
    return name, rest.partition(":")[2]


def _unescaped(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
