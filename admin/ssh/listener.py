"""The process that faces one peer: it speaks SSH, and holds nothing worth taking.

It comes from a zygote without privileges (`listen_zygote`), shuts itself behind a system-call
filter before it reads the peer's first byte, and asks the monitor for all that matters.
"""

import asyncio
import contextlib
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
from admin.ssh.server import Connection, Prepared

__all__ = ["prepare", "work"]

NAME_MAX = 200


_TASK = msgspec.msgpack.Decoder(ListenerTask)
_prepared: dict[bytes, Prepared] = {}
"""What belongs to the task of the latest connections: one entry."""


def prepare(task: bytes) -> None:
    """Get ready, in the zygote, for connections with this task: they are alike until a reload."""
    with contextlib.suppress(ValueError, msgspec.MsgspecError):  # its child will fail, alone
        _ready(task)


def _ready(task: bytes) -> Prepared:
    if task not in _prepared:
        _prepared.clear()
        _prepared[task] = Prepared(_TASK.decode(task))
    return _prepared[task]


def work(task: bytes, descriptors: Sequence[int]) -> int:
    """Serve one connection: descriptors are the peer's socket and the monitor's channel."""
    peer, monitor = (socket.socket(fileno=number) for number in descriptors)
    # Not asyncio.run, which would close the loop and set signal handlers: this process just ends.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    os.closerange(0, 3)  # the log and the terminal of whoever started the server
    bound()
    confine()
    loop.run_until_complete(_serve(loop, _ready(task), peer, monitor))
    return 0


async def _serve(
    loop: asyncio.AbstractEventLoop, prepared: Prepared, peer: socket.socket, end: socket.socket
) -> None:
    channel: Channel[Any, Any] = Channel(end, Grant)
    prepared.monitor = monitor = Monitor(channel, loop)
    prepared.closed = closed = loop.create_future()
    peer.setblocking(False)  # noqa: FBT003  its only form
    transport, _ = await loop.connect_accepted_socket(
        lambda: Connection(loop, prepared, monitor), peer
    )
    await asyncio.wait([closed, monitor.gone], return_when=asyncio.FIRST_COMPLETED)
    transport.abort()
    monitor.ended(closed.result()[:NAME_MAX] if closed.done() else "the monitor is gone")
