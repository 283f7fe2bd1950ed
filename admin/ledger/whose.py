"""Whose process it is that the kernel names: a session's, one that entered beside them, nobody's.

By cgroup, then by audit session id, then by descent from who entered. Asked at once: a process that
has been reaped can be asked no more, and only what was known of its pid a moment ago is left.
"""

import os
import re
import select
import signal
import time
from typing import TypeVar

from admin.end.members import look
from admin.ledger.messages import EXEC

__all__ = ["Whose"]

SESSION = re.compile(r"/(session-[A-Za-z0-9_-]{1,64})(?:/|$)")
EXECUTED = "session-exec-"
"""How the cgroups of those begin that have no session process."""
VERDICTS_MAX = 16384
RECENT_SECONDS = 30.0
DEPTH_MAX = 64

Value = TypeVar("Value")


class Whose:
    """Verdicts: the key of a session, EXEC, or nothing. `house` is the keeper's pid."""

    def __init__(self, house: int, cgroup: str) -> None:
        """Begin; `cgroup` is this container's own, empty where the host's processes share it."""
        self._house, self._cgroup = house, cgroup
        self._audits: dict[int, str] = {}
        self._entered: dict[int, int] = {}  # pid -> pidfd
        self._verdicts: dict[int, str] = {}  # by the pidfd's inode, where that tells a process
        self._recent: dict[int, tuple[float, str]] = {}
        self._unique = _inodes_tell()

    def watch(self, key: str, audit: int) -> None:
        """Know a session's audit session id."""
        self._audits[audit] = key
        self._verdicts.clear()

    def unwatch(self, key: str) -> None:
        """Know it no more."""
        self._audits = {audit: one for audit, one in self._audits.items() if one != key}

    def of(self, pid: int, pidfd: int) -> str | None:
        """Return whose a process is; None when nobody can tell any more."""
        if pidfd < 0:
            when, verdict = self._recent.get(pid, (0.0, ""))
            return verdict if time.monotonic() - when < RECENT_SECONDS else None
        inode = os.fstat(pidfd).st_ino if self._unique else 0
        known = self._verdicts.get(inode) if inode else None
        if known is None:
            known = self._judge(pid)
            if not _is_there(pidfd):
                return self.of(pid, -1)  # it may have been another of the same pid
            if inode:
                _keep(self._verdicts, inode, known)
        _keep(self._recent, pid, (time.monotonic(), known))
        return known

    def enter(self, pid: int, pidfd: int) -> str:
        """Take note that sheltie is started in a process; return whose, nothing for the house."""
        known = self.of(pid, pidfd) or ""
        if not known and pid not in self._entered and not self._descends(pid, self._house):
            # Later events are looked at anew: it was nobody's until now.
            self._verdicts.clear()
            self._entered[pid] = os.dup(pidfd)
            known = EXEC
        return known

    def entered(self) -> list[int]:
        """Return descriptors that become readable when one that entered ends."""
        return list(self._entered.values())

    def leave(self) -> bool:
        """Let go of those that ended; whether that were the last."""
        before = bool(self._entered)
        for pid, pidfd in list(self._entered.items()):
            if select.select([pidfd], [], [], 0)[0]:
                os.close(pidfd)
                del self._entered[pid]
        return before and not self._entered

    def _judge(self, pid: int) -> str:
        cgroup = _read(f"/proc/{pid}/cgroup")
        found = SESSION.search(cgroup.replace("\n", "/\n"))
        if found:
            return EXEC if found[1].startswith(EXECUTED) else found[1]
        if self._audits:
            audit = _read(f"/proc/{pid}/sessionid").strip()
            if audit.isdigit() and int(audit) in self._audits:
                return self._audits[int(audit)]
        if self._entered and any(self._descends(pid, one) for one in self._entered):
            return EXEC
        if self._cgroup and self._is_ours(cgroup) and not self._descends(pid, self._house):
            return EXEC
        return ""

    def _is_ours(self, cgroup: str) -> bool:
        path = next((one[3:] for one in cgroup.splitlines() if one.startswith("0::")), "")
        return path == self._cgroup or path.startswith(f"{self._cgroup.rstrip('/')}/")

    def _descends(self, pid: int, ancestor: int) -> bool:
        for _ in range(DEPTH_MAX):
            if pid == ancestor:
                return True
            known = look(pid)
            if known is None or known.parent <= 1:
                return False
            pid = known.parent
        return False


def container_cgroup() -> str:
    """Return our cgroup where it tells this container from the host's first process, or nothing."""
    ours, first = (
        next(
            (one[3:] for one in _read(f"/proc/{pid}/cgroup").splitlines() if one.startswith("0::")),
            "",
        )
        for pid in ("self", "1")
    )
    within = first == ours or (ours != "/" and first.startswith(f"{ours}/"))
    return "" if within or (ours == "/" and not first.startswith("/..")) else ours


def _inodes_tell() -> bool:
    """Whether each process's pidfd has an inode of its own (Linux 6.9)."""
    one, other = os.pidfd_open(os.getpid()), os.pidfd_open(1)
    try:
        return os.fstat(one).st_ino != os.fstat(other).st_ino
    finally:
        os.close(one)
        os.close(other)


def _is_there(pidfd: int) -> bool:
    """Whether the process still has its pid, dead or alive."""
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _keep(table: dict[int, Value], key: int, value: Value) -> None:
    if len(table) >= VERDICTS_MAX:
        table.clear()
    table[key] = value


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123  a fork is fast
            return file.read()
    except OSError:
        return ""
