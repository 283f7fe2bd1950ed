"""A container's log: bounded, and with the part before the last turn still there.

conmon counts the bytes of one run, and when they reach the limit it puts a new file in the place of
the old one, which is gone then. A second name keeps the old one: `log.held` is the file that conmon
writes to, and becomes `log.1` when `log` is another one. That takes no part in the writing, so it
also holds while no daemon runs.
"""

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Final

from host.runtime import kernel
from host.runtime.files import Files

__all__ = ["MAX", "LogWatch", "prepare", "turn"]

MAX: Final = 8 << 20
"""Bytes of a log before it turns. With what a former run left in it a file has twice as much."""
_EVENTS: Final = 1 << 12


def prepare(files: Files) -> None:
    """Make the log of a run that begins. Raises OSError."""
    turn(files)
    if _size(files.log) >= MAX:
        files.log.replace(files.log_before)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    os.close(os.open(files.log, flags, 0o600))
    _hold(files)


def turn(files: Files) -> None:
    """Keep the file that conmon no longer writes to. Raises OSError."""
    held = _inode(files.log_held)
    if held and held != _inode(files.log):
        files.log_held.replace(files.log_before)
        _hold(files)


class LogWatch:
    """Turns a log whenever conmon did. Where it cannot watch, the next start turns it."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._descriptor = -1
        self._loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            # What turned while nobody watched; and instances of inotify are few.
            turn(files)
            self._descriptor = kernel.watch_moves(files.home)
            self._loop.add_reader(self._descriptor, self._moved)

    def close(self) -> None:
        """Watch no longer. Idempotent."""
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            self._moved()  # what came last
            os.close(self._descriptor)
            self._descriptor = -1

    def _moved(self) -> None:
        with contextlib.suppress(OSError):
            os.read(self._descriptor, _EVENTS)
            turn(self._files)


def _hold(files: Files) -> None:
    files.log_held.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        files.log_held.hardlink_to(files.log)


def _inode(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_ino
    return 0


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
