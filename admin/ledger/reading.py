"""Reading the tables, by a process that stands in the host's namespaces. No file tree is scanned.

What is read is bounded: so many files, so many bytes of each. A table that cannot be read is left
out and named; it never keeps the others from being read.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from admin.end.deputies import of_cgroup
from admin.ledger import parse
from admin.ledger.tables import (
    Account,
    Fact,
    Kept,
    Module,
    Namespace,
    Process,
    Snapshot,
    Socket,
    Sysctl,
    Unit,
)
from admin.report import network
from admin.sheltie.condition import letters

__all__ = ["read"]

FILE_MAX = 1 << 20
ENTRIES_MAX = 2000
"""Files of one directory."""
HOMES_MAX = 500
UNIT_DEPTH = 6
KINDS = ("mnt", "pid", "net", "ipc", "uts", "cgroup", "user", "time")
# What the kernel itself writes anew all the time, and what is no setting.
_RESTLESS = """
fs/aio-nr fs/dentry-state fs/file-nr fs/inode-nr fs/inode-state kernel/ns_last_pid kernel/tainted
kernel/perf_event_max_sample_rate kernel/pty/nr net/netfilter/nf_conntrack_count
net/ipv4/route/flush net/ipv6/route/flush vm/stat_refresh vm/compact_memory vm/drop_caches
"""
RESTLESS = frozenset(_RESTLESS.split())
PASSED_OVER = frozenset({"kernel/random", "fs/binfmt_misc", "fs/quota"})
SECRETS = ("tcp_fastopen_key", "stable_secret", "keys")
CRON = (
    "/etc/cron.d", "/etc/cron.hourly", "/etc/cron.daily", "/etc/cron.weekly", "/etc/cron.monthly",
    "/etc/cron.yearly", "/var/spool/cron", "/var/spool/cron/crontabs", "/var/spool/cron/atjobs",
    "/var/spool/at", "/etc/sudoers.d",
)  # fmt: skip
SINGLE = ("/etc/crontab", "/etc/anacrontab", "/etc/sudoers", "/etc/ld.so.preload")
UNIT_ENDS = (".service", ".scope", ".socket", ".timer", ".mount", ".path", ".swap")


def read(ruleset: Sequence[str] | str) -> Snapshot:
    """Return a snapshot; `ruleset` is what nft lists, or a sentence saying why it cannot."""
    mountinfo = _text("/proc/1/mountinfo")
    passwd = _text("/etc/passwd")
    found: dict[str, Any] = {}
    unread: dict[str, str] = {}
    readers: dict[str, Callable[[], tuple[Any, ...]]] = {
        "mounts": lambda: parse.mounts(mountinfo),
        "sysctls": lambda: tuple(_sysctls("/proc/sys", "")),
        "modules": _modules,
        "sockets": lambda: tuple(_sockets()),
        "units": lambda: tuple(_units(parse.unit_trees(mountinfo))),
        "accounts": lambda: _accounts(passwd),
        "entrances": lambda: tuple(_entrances(passwd)),
        "facts": _facts,
    }
    for name, reader in readers.items():
        try:
            found[name] = reader()
        except OSError as error:
            unread[name] = f"{error.filename}: {error.strerror}"
    found["processes"], seen = _processes()
    held = {(one.kind, one.inode) for one in seen}
    more = [
        one for one in parse.pinned(found.get("mounts", ())) if (one.kind, one.inode) not in held
    ]
    found["namespaces"] = (*seen, *more)
    if isinstance(ruleset, str):
        unread["rules"] = ruleset
    else:
        found["rules"] = parse.rules(ruleset)
    return msgspec.convert({**found, "unread": unread}, Snapshot, from_attributes=True)


def _modules() -> tuple[Module, ...]:
    return tuple(Module(line.split()[0]) for line in _maybe("/proc/modules").splitlines())


def _accounts(passwd: str) -> tuple[Account, ...]:
    return parse.accounts(passwd, _maybe("/etc/group"), _maybe("/etc/shadow"))


def _facts() -> tuple[Fact, ...]:
    swaps = [line.split()[0] for line in _maybe("/proc/swaps").splitlines()[1:]]
    return (
        Fact("taint", letters(_text("/proc/sys/kernel/tainted").strip())),
        Fact("kexec image loaded", _maybe("/sys/kernel/kexec_loaded").strip()),
        Fact("swap", " ".join(swaps) or "none"),
    )


def _sysctls(directory: str, below: str) -> Iterator[Sysctl]:
    """Yield the settings that can be written to; of a secret one a digest."""
    for entry in os.scandir(directory):
        path = f"{below}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            if path not in PASSED_OVER:
                yield from _sysctls(entry.path, f"{path}/")
        elif path not in RESTLESS and _is_writable(entry):
            text = _maybe(entry.path)
            if entry.name.endswith(SECRETS):
                text = parse.digest(text.encode())[:16]
            yield Sysctl(path, text.strip())


def _is_writable(entry: "os.DirEntry[str]") -> bool:
    try:
        mode = entry.stat(follow_symlinks=False).st_mode
    except OSError:
        return False  # its interface is gone
    return mode & 0o600 == 0o600  # noqa: PLR2004  owner's read and write


def _sockets() -> Iterator[Socket]:
    low, high = map(int, _text("/proc/sys/net/ipv4/ip_local_port_range").split())
    for protocol, local, remote, state, inode in network.sockets(1):
        if protocol == "unix":
            if state.startswith("listen") and local:
                yield Socket(protocol, local, inode)
            continue
        port = int(local.rpartition(":")[2])
        # One that is not connected and has a port of its own; ephemeral ones are clients'.
        waits = remote.endswith(":0") and not low <= port <= high
        if state == "listen" or (not protocol.startswith("tcp") and waits):
            yield Socket(protocol, local, inode)


def _units(trees: list[str]) -> Iterator[Unit]:
    """Yield units that run: by their cgroups, and where systemd names those that need none."""
    names = {name for tree in trees for name in _below(tree, "", UNIT_DEPTH)}
    try:
        listed = os.listdir("/run/systemd/units")  # noqa: PTH208  names are enough
    except OSError:
        listed = []
    names |= {name.partition(":")[2] for name in listed if name.startswith("invocation:")}
    # The end of a session names what engines and systemd-run began.
    kept = (name for name in sorted(names) if of_cgroup(f"/{name}") is None)
    yield from (Unit(name) for name in kept if name.endswith(UNIT_ENDS))


def _below(tree: str, path: str, depth: int) -> Iterator[str]:
    """Yield names of units' cgroups; only slices hold more units."""
    try:
        entries = [one for one in os.scandir(f"{tree}{path}") if one.is_dir()]
    except OSError:
        return  # it ended meanwhile
    for one in entries[:ENTRIES_MAX]:
        if one.name.endswith(UNIT_ENDS):
            yield one.name
        elif one.name.endswith(".slice") and depth and not one.name.startswith("kubepods"):
            yield from _below(tree, f"{path}/{one.name}", depth - 1)


def _entrances(passwd: str) -> Iterator[Kept]:
    for directory in CRON:
        try:
            names = sorted(os.listdir(directory))[:ENTRIES_MAX]  # noqa: PTH208  names are enough
        except OSError:
            continue
        yield from _kept(f"{directory}/{name}" for name in names)
    yield from _kept(SINGLE)
    for home in parse.homes(passwd)[:HOMES_MAX]:
        yield from _kept(f"{home}/.ssh/{name}" for name in ("authorized_keys", "authorized_keys2"))


def _kept(paths: Iterable[str]) -> Iterator[Kept]:
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            continue
        try:
            about = os.fstat(descriptor)
            if stat.S_ISREG(about.st_mode):
                data = os.read(descriptor, FILE_MAX)
                owner = f"{about.st_mode & 0o7777:04o} {about.st_uid}:{about.st_gid}"
                yield Kept(path, parse.digest(data), owner)
        except OSError:
            continue
        finally:
            os.close(descriptor)


def _processes() -> tuple[tuple[Process, ...], tuple[Namespace, ...]]:
    """Return processes and the namespaces that they hold, read in one walk."""
    found: list[Process] = []
    held: dict[tuple[str, int], Namespace] = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):  # noqa: PTH208  names
        place = f"/proc/{pid}"
        one = parse.process(
            pid, _maybe(f"{place}/stat"), _maybe(f"{place}/cgroup"), _maybe(f"{place}/sessionid")
        )
        if one is None:
            continue
        found.append(one)
        for kind in KINDS:
            try:
                known = parse.NSFS.fullmatch(os.readlink(f"{place}/ns/{kind}"))  # noqa: PTH115
            except OSError:
                continue  # it ended, or the kernel has no such kind
            if known and (known[1], int(known[2])) not in held:
                held[known[1], int(known[2])] = Namespace(known[1], int(known[2]), str(pid))
    return tuple(found), tuple(held.values())


def _maybe(path: str) -> str:
    try:
        return _text(path)
    except OSError:
        return ""  # gone, or not there on this host


def _text(path: str) -> str:
    """Return a file's text, of bounded length. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        pieces, room = [], FILE_MAX
        while room > 0 and (piece := os.read(descriptor, min(room, 1 << 16))):
            pieces.append(piece)
            room -= len(piece)
    finally:
        os.close(descriptor)
    return b"".join(pieces).decode(errors="backslashreplace")
