"""Who is at the other end of a Unix socket: what the kernel says, not what the peer says.

A pid alone may mean somebody else by the time it is looked at. The kernel's pidfd of the peer
(SO_PEERPIDFD, Linux 6.5) does not, nor does what the kernel tells of it (PIDFD_GET_INFO, 6.13);
before them a pidfd is opened by number and the process's start time compared around it.
"""

import fcntl
import os
import select
import socket
import struct
from dataclasses import dataclass

__all__ = ["Peer", "of"]

SO_PEERPIDFD = 77  # asm-generic/socket.h
PIDFD_GET_INFO = 0xC040FF0B  # linux/pidfd.h: _IOWR(0xFF, 11, struct pidfd_info) of its first size
PIDFD_INFO_PID = 1 << 0
PIDFD_INFO_CGROUPID = 1 << 2

_UCRED = struct.Struct("=iII")  # struct ucred, unix(7): pid, uid, gid
_INFO = struct.Struct("=QQII40x")  # struct pidfd_info: mask, cgroupid, pid, tgid, …
_STATUS_MAX = 4096


@dataclass(frozen=True, slots=True)
class Peer:
    """Credentials at the time of connect(2). `pid` is 0 outside our pid namespace.

    `started` is the process's start in clock ticks since boot (proc(5)), 0 where it had ended.
    `cgroup_id` is the inode of its cgroup2 directory, 0 where the kernel does not tell; `cgroup`
    the path of that cgroup in our cgroup namespace.
    """

    pid: int
    uid: int
    gid: int
    started: int = 0
    cgroup_id: int = 0
    cgroup: str = ""

    @property
    def outside(self) -> bool:
        """Whether the peer's pid has no number in our pid namespace."""
        return self.pid == 0


def of(connection: socket.socket) -> Peer:
    """Return the peer of a connected Unix socket. Raises OSError."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(data)
    if pid == 0:
        return Peer(0, uid, gid)
    descriptor = _pidfd(connection, pid)
    if descriptor < 0:
        return Peer(pid, uid, gid)
    try:
        known, cgroup_id = _info(descriptor)
        if known not in {0, pid}:
            return Peer(pid, uid, gid)
        started, cgroup = _start_time(pid), _cgroup(pid)
        # As long as it is not reaped its number is its own: what was read was read of it.
        if started and _alive(descriptor):
            return Peer(pid, uid, gid, started, cgroup_id, cgroup)
        return Peer(pid, uid, gid, cgroup_id=cgroup_id)
    finally:
        os.close(descriptor)


def _pidfd(connection: socket.socket, pid: int) -> int:
    """Return a pidfd of the peer, or -1 where it has gone."""
    try:
        return connection.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
    except OSError:
        return _opened(pid)  # an older kernel, or a peer that was reaped


def _opened(pid: int) -> int:
    before = _start_time(pid)
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return -1
    if before and before == _start_time(pid):
        return descriptor
    os.close(descriptor)
    return -1


def _info(descriptor: int) -> tuple[int, int]:
    """Return pid and cgroup id as the kernel knows them; zeros where it does not tell."""
    asked = bytearray(_INFO.size)
    _INFO.pack_into(asked, 0, PIDFD_INFO_PID | PIDFD_INFO_CGROUPID, 0, 0, 0)
    try:
        fcntl.ioctl(descriptor, PIDFD_GET_INFO, asked)
    except OSError:
        return 0, 0
    mask, cgroup_id, _, process = _INFO.unpack(asked)
    # "tgid" is what everybody else calls the pid.
    return process if mask & PIDFD_INFO_PID else 0, cgroup_id if mask & PIDFD_INFO_CGROUPID else 0


def _alive(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return not poll.poll(0)


def _start_time(pid: int) -> int:
    """Return field 22 of /proc/PID/stat, 0 where there is none; the name before it may hold ')'."""
    fields = _proc(pid, "stat").rpartition(b")")[2].split()
    return int(fields[19]) if len(fields) > 19 else 0  # noqa: PLR2004  proc(5): starttime


def _cgroup(pid: int) -> str:
    for line in _proc(pid, "cgroup").splitlines():
        if line.startswith(b"0::"):
            return line[3:].decode("utf-8", "replace")
    return ""


def _proc(pid: int, name: str) -> bytes:
    try:
        descriptor = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, _STATUS_MAX)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
