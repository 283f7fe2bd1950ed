"""Under `/exec` there is no session process: sheltie itself sees to the end of what it starts.

The session is whatever the host's daemon executed, found as the ancestor whose own parent is not in
this container. The first sheltie in it makes a cgroup, and starts a watcher (`admin.end.watch`),
which ends everybody when that ancestor is gone; each sheltie writes down its audit session id.
"""

from __future__ import annotations

import posix as os  # all that `os` has of use here, without its 1.3 ms
import sys

__all__ = ["RECORDS", "join"]

RECORDS = "/run/sheltie/exec"
MARK = "/session-"
NAME = "session-exec-"
INITS = frozenset({b"catatonit", b"tini", b"start_admin.sh"})
"""The container's own first process: its end is the container's, and needs no watcher."""
UNSET = b"4294967295"
LIMIT = 1 << 18


def join() -> None:
    """Belong to a session from here on. What this machine refuses is done without."""
    try:
        place = _place(_read("/proc/self/cgroup"))
        if MARK in place and MARK + "exec-" not in place:
            return  # an SSH session's, whose process ends it
        name = place.partition(MARK + "exec-")[2].partition("/")[0]
        name = NAME + name if name else _begin(place)
        if name:
            _mark(name)
    except OSError:
        return  # no version 2 hierarchy, or no process: the container's end is theirs too


def _begin(place: str) -> str:
    """Make a session of what was executed; return its name, or nothing where there is none."""
    first = _first()
    if _bytes(f"/proc/{first}/comm").strip() in INITS:
        return ""
    started = _stat(first)[19].decode()
    name = f"{NAME}{first}-{started}"
    point, ours = _mounted(_read("/proc/self/mountinfo"), place)
    cgroup = f"{ours}/{name}"
    if not os.access(cgroup, os.F_OK):  # else another sheltie was first just now
        os.mkdir(cgroup, 0o755)
        try:
            _watch(first, name, point, cgroup)
        except OSError:
            os.rmdir(cgroup)
            raise
    for pid in {first, os.getpid()}:
        _write(f"{cgroup}/cgroup.procs", b"%d" % pid)
    return name


def _watch(first: int, name: str, point: str, cgroup: str) -> None:
    """Start the watcher of process `first`: nobody's child, with nothing of ours but its pidfd."""
    pidfd = os.pidfd_open(first)
    argv = [sys.executable, "-I", "-m", "admin.end.watch", str(pidfd), name, point, cgroup]
    try:
        child = os.fork()
    except OSError:
        os.close(pidfd)
        raise
    if child:
        os.close(pidfd)
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if not os.fork():
            nothing = os.open("/dev/null", os.O_RDWR)
            for number in range(3):
                os.dup2(nothing, number)
            os.set_inheritable(pidfd, True)  # noqa: FBT003  its only form
            os.execve(sys.executable, argv, {})
    finally:
        os._exit(0)  # noqa: SLF001  its only name


def _mark(name: str) -> None:
    """Take an audit session id, and write it down for the watcher."""
    if _bytes("/proc/self/loginuid").strip() == UNSET:
        _write("/proc/self/loginuid", b"0")
    for place in (RECORDS.rpartition("/")[0], RECORDS):
        if not os.access(place, os.F_OK):
            os.mkdir(place, 0o700)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(f"{RECORDS}/{name}", flags, 0o600)
    try:
        os.write(descriptor, _bytes("/proc/self/sessionid").strip() + b"\n")
    finally:
        os.close(descriptor)


def _first() -> int:
    """Return the ancestor whose parent is not in this container."""
    here = os.readlink("/proc/self/ns/mnt")
    pid = os.getpid()
    while True:
        parent = int(_stat(pid)[1])
        try:
            if not parent or os.readlink(f"/proc/{parent}/ns/mnt") != here:
                return pid
        except OSError:
            return pid  # it is gone, or out of bounds
        pid = parent


def _stat(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat behind the name, which may hold anything (proc(5))."""
    return _bytes(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def _place(cgroup: str) -> str:
    """Return the path of our cgroup in the version 2 hierarchy. Raises OSError."""
    for line in cgroup.splitlines():
        if line.startswith("0::/") and "/.." not in line:  # that is outside what we see
            return line[3:]
    raise OSError(0, "no version 2 hierarchy")


def _mounted(mountinfo: str, place: str) -> tuple[str, str]:
    """Return where the hierarchy is mounted, and our cgroup in it. Raises OSError."""
    for line in mountinfo.splitlines():
        fields, _, kind = line.partition(" - ")
        root, point = fields.split()[3:5]
        root = root.rstrip("/")
        if kind.startswith("cgroup2 ") and (place == root or place.startswith(f"{root}/")):
            return point, (point + place[len(root) :]).rstrip("/")
    raise OSError(0, "no version 2 hierarchy holds this process")


def _read(path: str) -> str:
    return _bytes(path).decode(errors="replace")


def _bytes(path: str) -> bytes:
    """Return the bytes of a file of /proc, whole. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = b""
        while len(found) < LIMIT and (piece := os.read(descriptor, LIMIT)):
            found += piece
        return found
    finally:
        os.close(descriptor)


def _write(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)
