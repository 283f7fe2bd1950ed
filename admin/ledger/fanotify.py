"""fanotify(7) by ctypes: groups, marks, and the events in a buffer.

Numbers: linux/fanotify.h. Mount events came with Linux 6.14, pidfds with 5.15, renames with 5.17.
"""

import ctypes
import fcntl
import os
import struct
import termios
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = [
    "CHANGES",
    "Event",
    "Handle",
    "mark_contents",
    "mark_directory",
    "mark_filesystem",
    "mark_namespace",
    "mark_opens",
    "mark_writes",
    "mounts_group",
    "names_group",
    "parse",
    "plain_group",
    "waiting",
]

CLOEXEC, NONBLOCK = 1, 2
UNLIMITED_QUEUE, UNLIMITED_MARKS = 0x10, 0x20
REPORT_PIDFD = 0x80
REPORT_DFID_NAME_TARGET = 0x200 | 0x400 | 0x800 | 0x1000
REPORT_MNT = 0x4000

MARK_ADD, MARK_FILESYSTEM, MARK_MNTNS = 1, 0x100, 0x110

ATTRIB = 0x4
MODIFY = 0x2
CLOSE_WRITE = 0x8
OPEN = 0x20
CREATE = 0x100
DELETE = 0x200
OVERFLOW = 0x4000
ATTACH, DETACH = 0x01000000, 0x02000000
ON_CHILD = 0x08000000
RENAME = 0x10000000
ONDIR = 0x40000000
CHANGES = CREATE | DELETE | RENAME | ATTRIB | MODIFY | CLOSE_WRITE | ONDIR
OPEN_EXEC = 0x1000
"""Somebody begins to be another program: most who change something soon are seen by it first."""

NO_PIDFD = -1
AT_FDCWD = -100
_VERSION = 3
_HEADER = struct.Struct("=IBBHQii")
_INFO = struct.Struct("=BBH")
_FSID = struct.Struct("=Q")
_HANDLE = struct.Struct("=Ii")
_PIDFD = struct.Struct("=i")
_FID, _DFID_NAME, _DFID, _PIDFD_INFO, _OLD, _NEW = 1, 2, 3, 4, 10, 12

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Handle:
    """A file, as its file system knows it (name_to_handle_at(2)), and a name in it."""

    fsid: int
    kind: int
    handle: bytes
    name: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `fd` and `pidfd` are open and the caller's to close; -1 where there is none.

    `place` is the directory with the name, `to` where a rename led, `target` the thing itself.
    """

    mask: int
    pid: int
    pidfd: int
    fd: int
    place: Handle | None = None
    to: Handle | None = None
    target: Handle | None = None


def names_group(*, bounded: bool = False) -> int:
    """Return a group whose events tell names. Raises OSError.

    With `bounded` its queue holds what the kernel gives everybody, 16384 events.
    """
    return _init(REPORT_PIDFD | REPORT_DFID_NAME_TARGET | (0 if bounded else UNLIMITED_QUEUE))


def plain_group() -> int:
    """Return a group whose events bring a descriptor. Raises OSError."""
    return _init(REPORT_PIDFD | UNLIMITED_QUEUE)


def mounts_group() -> int:
    """Return a group for mounts that come and go. Raises OSError, before Linux 6.14."""
    return _init(REPORT_PIDFD | REPORT_MNT | UNLIMITED_QUEUE)


def mark_filesystem(group: int, path: str) -> None:
    """See every change in the file system that is mounted at `path`. Raises OSError."""
    _mark(group, MARK_FILESYSTEM, CHANGES | OPEN_EXEC, AT_FDCWD, path)


def mark_contents(group: int, path: str) -> None:
    """See every write in a file system that tells no names. Raises OSError."""
    _mark(group, MARK_FILESYSTEM, MODIFY | CLOSE_WRITE | OPEN_EXEC, AT_FDCWD, path)


def mark_namespace(group: int, descriptor: int) -> None:
    """See what is mounted and unmounted in a mount namespace. Raises OSError."""
    _mark(group, MARK_MNTNS, ATTACH | DETACH, descriptor, None)


def mark_writes(group: int, path: str) -> None:
    """See who writes to one file. Raises OSError."""
    _mark(group, 0, MODIFY, AT_FDCWD, path)


def mark_opens(group: int, path: str) -> None:
    """See who opens one file. Raises OSError."""
    _mark(group, 0, OPEN, AT_FDCWD, path)


def mark_directory(group: int, path: str) -> None:
    """See who opens a file of directory `path`. Raises OSError."""
    _mark(group, 0, OPEN | ON_CHILD, AT_FDCWD, path)


def waiting(group: int) -> int:
    """Return how many events a group holds."""
    (size,) = struct.unpack("i", fcntl.ioctl(group, termios.FIONREAD, b"\0\0\0\0"))
    return int(size) // _HEADER.size  # it counts their heads only


def parse(data: bytes) -> Iterator[Event]:
    """Yield the events in what was read from a group. Raises ValueError on another version."""
    position = 0
    while position + _HEADER.size <= len(data):
        length, version, _, head, mask, fd, pid = _HEADER.unpack_from(data, position)
        if version != _VERSION or not _HEADER.size <= head <= length <= len(data) - position:
            raise ValueError("fanotify speaks another version")
        infos = _infos(data[position + head : position + length])
        yield Event(mask, pid, infos.pidfd, fd, infos.place, infos.to, infos.target)
        position += length


class _Infos:
    __slots__ = ("pidfd", "place", "target", "to")

    def __init__(self) -> None:
        self.pidfd = NO_PIDFD
        self.place: Handle | None = None
        self.to: Handle | None = None
        self.target: Handle | None = None


def _infos(data: bytes) -> _Infos:
    """Read the records behind an event's head."""
    found, position = _Infos(), 0
    while position + _INFO.size <= len(data):
        kind, _, length = _INFO.unpack_from(data, position)
        if not _INFO.size <= length <= len(data) - position:
            raise ValueError("fanotify speaks another version")
        body = data[position + _INFO.size : position + length]
        if kind == _PIDFD_INFO:
            (found.pidfd,) = _PIDFD.unpack_from(body)
        elif kind in (_DFID_NAME, _DFID, _OLD):
            found.place = _handle(body)
        elif kind == _NEW:
            found.to = _handle(body)
        elif kind == _FID:
            found.target = _handle(body)
        position += length
    return found


def _handle(body: bytes) -> Handle:
    (fsid,) = _FSID.unpack_from(body)
    size, kind = _HANDLE.unpack_from(body, _FSID.size)
    begin = _FSID.size + _HANDLE.size
    name = body[begin + size :].split(b"\0", 1)[0]
    return Handle(fsid, kind, body[begin : begin + size], os.fsdecode(name))


def _init(flags: int) -> int:
    opened = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_LARGEFILE", 0)
    group: int = _libc.fanotify_init(CLOEXEC | NONBLOCK | UNLIMITED_MARKS | flags, opened)
    if group < 0:
        raise _error()
    return group


def _mark(group: int, flags: int, mask: int, directory: int, path: str | None) -> None:
    where = os.fsencode(path) if path is not None else None
    if _libc.fanotify_mark(group, MARK_ADD | flags, ctypes.c_uint64(mask), directory, where):
        raise _error()


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
