"""Waiting until something happens in a directory, without looking again and again (inotify(7))."""

import asyncio
import ctypes
import os
from pathlib import Path
from typing import Final, Self

__all__ = ["Notices"]

# linux/inotify.h
IN_MODIFY: Final = 0x2
IN_MOVED_TO: Final = 0x80
IN_CREATE: Final = 0x100
IN_DELETE_SELF: Final = 0x400
_WATCHED: Final = IN_MODIFY | IN_MOVED_TO | IN_CREATE | IN_DELETE_SELF
_BUFFER: Final = 64 << 10


class Notices:
    """A watch on `directory`, from its making on. Raises OSError."""

    def __init__(self, directory: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor: int = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._descriptor < 0:
            raise _error()
        path = os.fsencode(directory)
        if libc.inotify_add_watch(self._descriptor, path, ctypes.c_uint32(_WATCHED)) < 0:
            error = _error()
            os.close(self._descriptor)
            raise error
        self._ready = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._descriptor, self._ready.set)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)

    async def changed(self) -> None:
        """Return once something has happened since the last time."""
        await self._ready.wait()
        try:
            while os.read(self._descriptor, _BUFFER):
                pass
        except BlockingIOError:
            self._ready.clear()


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
