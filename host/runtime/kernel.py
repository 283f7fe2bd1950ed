"""System calls that Python lacks, by their own names; each raises OSError.

A host may have no shell and no mount(8). Numbers and flags: linux/mount.h, linux/openat2.h,
linux/inotify.h.
"""

import ctypes
import os
from pathlib import Path
from typing import Final

__all__ = [
    "MNT_DETACH",
    "MS_PRIVATE",
    "mount",
    "open_in_root",
    "sync_file_system",
    "umount",
    "watch_moves",
]

MS_PRIVATE: Final = 1 << 18
MNT_DETACH: Final = 2
_OPENAT2: Final = 437  # the same number on every architecture since Linux 5.6
_RESOLVE_IN_ROOT: Final = 0x10
_IN_MOVED_TO: Final = 0x80

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount (mount(2))."""
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        os.fsencode(data) or None,
    )
    _check(result, f"mount {kind or source} on {target}")


def umount(target: str, flags: int = 0) -> None:
    """Unmount (umount2(2))."""
    _check(_libc.umount2(os.fsencode(target), flags), f"unmount {target}")


def open_in_root(root: int, path: str, flags: int) -> int:
    """Open `path` as it is for a process whose root directory is `root` (openat2(2))."""
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT)
    result = _libc.syscall(
        ctypes.c_long(_OPENAT2),
        ctypes.c_long(root),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    _check(result, f"open {path}")
    return int(result)


def sync_file_system(descriptor: int) -> None:
    """Write out the file system that `descriptor` lies on (syncfs(2))."""
    _check(_libc.syncfs(descriptor), "syncfs")


def watch_moves(directory: Path) -> int:
    """Return a descriptor that is readable when a file was moved into `directory` (inotify(7))."""
    descriptor = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    _check(descriptor, "inotify_init1")
    try:
        mask = ctypes.c_uint32(_IN_MOVED_TO)
        _check(_libc.inotify_add_watch(descriptor, os.fsencode(directory), mask), "inotify")
    except OSError:
        os.close(descriptor)
        raise
    return int(descriptor)


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
