"""The host's file systems: which are watched, and the path of what an event names.

For a process that stands in the host's mount namespace. It keeps no file of the host's open, so
that nothing is busy because of it.
"""

import ctypes
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass

from admin.ledger import fanotify, parse
from admin.ledger.fanotify import Handle
from admin.ledger.tables import Mount

__all__ = ["Filesystems"]

CACHE_MAX = 8192
AT_FDCWD = -100
HANDLE_MAX = 128  # MAX_HANDLE_SZ of linux/exportfs.h
# Their contents are the kernel's own, or they may hang whoever looks at them.
_KERNELS = """
proc sysfs devpts mqueue cgroup cgroup2 securityfs debugfs tracefs bpf configfs pstore fusectl nsfs
binfmt_misc hugetlbfs rpc_pipefs selinuxfs autofs efivarfs resctrl
"""
KERNELS = frozenset(_KERNELS.split())
REMOTE = ("nfs", "cifs", "smb", "ceph", "9p", "fuse", "afs", "virtiofs", "glusterfs", "lustre")

_libc = ctypes.CDLL(None, use_errno=True)


class _FileHandle(ctypes.Structure):
    _fields_ = (
        ("bytes", ctypes.c_uint),
        ("kind", ctypes.c_int),
        ("handle", ctypes.c_ubyte * HANDLE_MAX),
    )


@dataclass(frozen=True)
class _Place:
    """A mount through which a file system can be seen."""

    point: str
    whole: bool
    """Whether all of the file system is below it."""


class Filesystems:
    """Marks for `names`, the group that tells names, and for `plain`, where that is refused."""

    def __init__(self, names: int, plain: int) -> None:
        self._names, self._plain = names, plain
        self._mounts: tuple[Mount, ...] = ()
        self._places: dict[int, list[_Place]] = {}
        self._cache: dict[tuple[int, bytes], str] = {}
        self._gone: dict[tuple[int, bytes], None] = {}
        self._files: dict[tuple[int, bytes], str] = {}  # mounted by themselves
        self.unseen: list[str] = []
        """What cannot be watched, as people read it."""

    def refresh(self) -> list[str]:
        """Mark what was mounted since the last time; return the points that came or went."""
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
            now = parse.mounts(file.read())
        before, self._mounts = self._mounts, now
        new = [one for one in now if one not in before]
        old = [one for one in before if one not in now]
        if new or old:
            self._cache.clear()
            self._drop({one.point for one in old} - {one.point for one in now})
        for one in new:
            self._take(one)
        return list(dict.fromkeys(one.point for one in (*new, *old)))

    def path(self, handle: Handle, target: Handle | None = None) -> str:
        """Return where the directory `handle`, and the name in it, are; nothing if nobody knows.

        `target` is what the name is of, which may be mounted by itself.
        """
        alone = self._files.get((target.fsid, target.handle)) if target else None
        if alone is not None:
            return alone
        key = (handle.fsid, handle.handle)
        directory = self._cache.get(key)
        if directory is None:
            directory = next(self._resolved(handle), "")
            self._keep(key, directory)
        if not directory:
            return ""
        name = handle.name
        return directory if name in ("", ".") else f"{directory.rstrip('/')}/{name}"

    def is_gone(self, handle: Handle) -> bool:
        """Whether the directory is no more, and so nothing that was in it."""
        return (handle.fsid, handle.handle) in self._gone

    def know(self, target: Handle, path: str) -> None:
        """Keep in mind where a directory is that was just made: it may be gone when asked."""
        self._keep((target.fsid, target.handle), path)

    def forget(self) -> None:
        """Let go of what is known: a directory has another name now."""
        self._cache.clear()

    def _take(self, one: Mount) -> None:
        if one.kind in KERNELS:
            return
        if one.kind.startswith(REMOTE):
            self._miss(f"{one.point} ({one.kind}: others may change it, and it may hang)")
            return
        try:
            fsid = os.statvfs(one.point).f_fsid
            is_directory = os.path.isdir(one.point)  # noqa: PTH112
            places = self._places.setdefault(fsid, [])
            if not places:
                self._mark(one)
            if not is_directory:
                self._files[fsid, _handle_of(one.point)] = one.point
            else:
                place = _Place(one.point, one.root == "/")
                places.insert(0 if place.whole else len(places), place)
        except OSError as error:
            self._miss(f"{one.point} ({one.kind}: {error.strerror})")

    def _drop(self, gone: set[str]) -> None:
        """Forget mounts; a file system without any is marked anew when it comes again."""
        self._files = {key: point for key, point in self._files.items() if point not in gone}
        for fsid in list(self._places):
            left = [one for one in self._places[fsid] if one.point not in gone]
            if left:
                self._places[fsid] = left
            else:
                del self._places[fsid]

    def _mark(self, one: Mount) -> None:
        """Mark a file system. Raises OSError."""
        try:
            fanotify.mark_filesystem(self._names, one.point)
        except OSError:
            if one.kind == "overlay" and one.point != "/":
                return  # what is written to it is seen in its upper layer
            fanotify.mark_contents(self._plain, one.point)
            self._miss(f"names in {one.point} ({one.kind} tells only of files written to)")

    def _miss(self, what: str) -> None:
        if what not in self.unseen:
            self.unseen.append(what)

    def _keep(self, key: tuple[int, bytes], path: str) -> None:
        if len(self._cache) >= CACHE_MAX:
            self._cache.clear()
            self._gone.clear()
        self._cache[key] = path

    def _resolved(self, handle: Handle) -> Iterator[str]:
        for place in self._places.get(handle.fsid, ()):
            try:
                path = _open_and_ask(place, handle)
            except OSError as error:
                if error.errno == errno.ESTALE:
                    self._gone[handle.fsid, handle.handle] = None
                continue
            if path:
                yield path


def _open_and_ask(place: _Place, handle: Handle) -> str:
    """Return the path of a directory as seen through a mount. Raises OSError."""
    mount = os.open(place.point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        descriptor = _open_by_handle(mount, handle)
    finally:
        os.close(mount)
    try:
        about = os.fstat(descriptor)
        path = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
    finally:
        os.close(descriptor)
    if not about.st_nlink:
        return path.removesuffix(" (deleted)")
    if place.whole:
        return path
    # Through a part of a file system everything can be opened, but not everything has a path.
    there = os.lstat(path)
    return path if (there.st_dev, there.st_ino) == (about.st_dev, about.st_ino) else ""


def _handle_of(path: str) -> bytes:
    """Return the handle by which events name a file. Raises OSError."""
    found, number = _FileHandle(HANDLE_MAX), ctypes.c_int()
    asked = (AT_FDCWD, os.fsencode(path), ctypes.byref(found), ctypes.byref(number), 0)
    if _libc.name_to_handle_at(*asked):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return bytes(ctypes.string_at(ctypes.addressof(found) + _FileHandle.handle.offset, found.bytes))


def _open_by_handle(mount: int, handle: Handle) -> int:
    asked = _FileHandle(len(handle.handle), handle.kind)
    ctypes.memmove(
        ctypes.addressof(asked) + _FileHandle.handle.offset, handle.handle, len(handle.handle)
    )
    descriptor: int = _libc.open_by_handle_at(mount, ctypes.byref(asked), os.O_PATH | os.O_CLOEXEC)
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return descriptor
