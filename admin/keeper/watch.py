"""Telling when one file changes. Files are replaced by rename, so its directory is watched."""

import asyncio
import ctypes
import logging
import os
import struct
from collections.abc import Callable
from pathlib import Path

from admin.keeper.log import event

__all__ = ["watch"]

_log = logging.getLogger(__name__)

POLL_SECONDS = 5.0
"""How often a file is looked at where it cannot be watched."""

# linux/inotify.h
IN_CLOSE_WRITE = 0x8
IN_MOVED_FROM = 0x40
IN_MOVED_TO = 0x80
IN_DELETE = 0x200
IN_DELETE_SELF = 0x400
IN_MOVE_SELF = 0x800
IN_Q_OVERFLOW = 0x4000
IN_IGNORED = 0x8000
IN_ONLYDIR = 0x1000000
WATCHED = IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF
ENDS = IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED

_HEADER = struct.Struct("iIII")
_BUFFER = 65536


async def watch(path: Path, changed: Callable[[], None]) -> None:
    """Call `changed` after each change of `path`, until cancelled. Never raises OSError."""
    while True:
        try:
            descriptor = _open(path.parent)
        except OSError as error:
            _log.warning(event("watch-failed", path=path.parent, why=error.strerror))
            await asyncio.sleep(POLL_SECONDS)
            changed()
            continue
        try:
            changed()  # what came before the watch stood
            await _follow(descriptor, path.name, changed)
        finally:
            os.close(descriptor)


async def _follow(descriptor: int, name: str, changed: Callable[[], None]) -> None:
    """Read inotify events until the directory itself is gone."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        while True:
            await readable.wait()
            readable.clear()
            try:
                data = os.read(descriptor, _BUFFER)
            except BlockingIOError:
                continue  # the loop told of the same event twice, before and after we read it
            masks = [mask for mask, one in _events(data) if one in ("", name)]
            if any(mask & ~ENDS for mask in masks):
                changed()
            if any(mask & ENDS for mask in masks):
                return
    finally:
        loop.remove_reader(descriptor)


def _open(directory: Path) -> int:
    """Return an inotify descriptor on `directory` (inotify(7)). Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor: int = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if descriptor < 0:
        raise _error()
    flags = WATCHED | IN_ONLYDIR
    if libc.inotify_add_watch(descriptor, os.fsencode(directory), ctypes.c_uint32(flags)) < 0:
        error = _error()
        os.close(descriptor)
        raise error
    return descriptor


def _events(data: bytes) -> list[tuple[int, str]]:
    """Return (mask, name) of each event; the name is empty for the directory itself."""
    found, position = [], 0
    while position + _HEADER.size <= len(data):
        _, mask, _, size = _HEADER.unpack_from(data, position)
        position += _HEADER.size
        found.append((mask, os.fsdecode(data[position : position + size].rstrip(b"\0"))))
        position += size
    return found


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
