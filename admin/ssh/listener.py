"""The process that faces one peer: it speaks SSH, and holds nothing worth taking.

It comes from a zygote without privileges (`listen_zygote`), shuts itself behind a system-call
filter before it reads the peer's first byte, and asks the monitor for all that matters.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from typing import Any

import msgspec

from admin.ssh.ask import Monitor
from admin.ssh.confine import bound
from admin.ssh.frame import Channel
from admin.ssh.protocol import Grant, ListenerTask
from admin.ssh.seccomp import confine
from admin.ssh.server import Connection, HostKey, options

__all__ = ["work"]

NAME_MAX = 200


def work(task: bytes, descriptors: Sequence[int]) -> int:
    """Serve one connection: descriptors are the peer's socket and the monitor's channel."""
    told = msgspec.msgpack.decode(task, type=ListenerTask)
    peer, monitor = (socket.socket(fileno=number) for number in descriptors)
    # Not asyncio.run, which would close the loop and set signal handlers: this process just ends.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    os.closerange(0, 3)  # the log and the terminal of whoever started the server
    bound()
    confine()
    loop.run_until_complete(_serve(loop, told, peer, monitor))
    return 0


async def _serve(
    loop: asyncio.AbstractEventLoop, task: ListenerTask, peer: socket.socket, end: socket.socket
) -> None:
    channel: Channel[Any, Any] = Channel(end, Grant)
    monitor = Monitor(channel, loop)
    closed: asyncio.Future[str] = loop.create_future()
    keys = [HostKey(offered) for offered in task.keys]
    made = options(task, keys, monitor, closed)
    peer.setblocking(False)  # noqa: FBT003  its only form
    transport, _ = await loop.connect_accepted_socket(
        lambda: Connection(loop, made, monitor, task, keys), peer
    )
    await asyncio.wait([closed, monitor.gone], return_when=asyncio.FIRST_COMPLETED)
    transport.abort()
    monitor.ended(closed.result()[:NAME_MAX] if closed.done() else "the monitor is gone")
