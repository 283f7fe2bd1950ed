"""Telling when a client has gone, though nothing is read from it or written to it."""

import asyncio
import select
from asyncio import StreamWriter
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["gone"]


@contextmanager
def gone(writer: StreamWriter) -> Iterator[asyncio.Future[None]]:
    """Give a future that is done once the other end is closed.

    A client that has only ended its own sending is still there: it counts as gone when the kernel
    says hang-up, which an epoll that waits for nothing else tells (epoll_ctl(2)).
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    descriptor = writer.get_extra_info("socket").fileno()

    def note() -> None:
        loop.remove_reader(poll.fileno())
        if not future.done():
            future.set_result(None)

    with select.epoll() as poll:
        if descriptor < 0:  # closed by now
            future.set_result(None)
            yield future
            return
        poll.register(descriptor, 0)
        loop.add_reader(poll.fileno(), note)
        try:
            yield future
        finally:
            loop.remove_reader(poll.fileno())
            future.cancel()
