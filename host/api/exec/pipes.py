"""Waiting for descriptors of a process on the event loop: no thread, no busy waiting."""

import asyncio
import errno
import os
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["read_now", "readable", "write_all"]


@contextmanager
def readable(descriptor: int) -> Iterator[Future[None]]:
    """Give a future that is done once `descriptor` may be read."""
    loop = asyncio.get_running_loop()
    with _ready(loop, loop.add_reader, loop.remove_reader, descriptor) as ready:
        yield ready


def read_now(descriptor: int, size: int) -> bytes | None:
    """Return what can be read at once, b"" at the end, None where there is nothing yet.

    A terminal whose other side is closed reads as EIO (pty(7)): that is its end.
    """
    try:
        return os.read(descriptor, size)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno == errno.EIO:
            return b""
        raise


async def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, waiting where the process is slow. Raises OSError (EPIPE, EIO)."""
    view = memoryview(data)
    loop = asyncio.get_running_loop()
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            with _ready(loop, loop.add_writer, loop.remove_writer, descriptor) as ready:
                await ready


@contextmanager
def _ready(
    loop: AbstractEventLoop,
    add: Callable[..., Any],
    remove: Callable[[int], Any],
    descriptor: int,
) -> Iterator[Future[None]]:
    ready: Future[None] = loop.create_future()

    def note() -> None:
        if not ready.done():
            ready.set_result(None)

    add(descriptor, note)
    try:
        yield ready
    finally:
        remove(descriptor)
