"""What the kernel tells of its devices: one message each on a netlink socket, read as it comes."""

import asyncio
import errno
import socket
from collections.abc import AsyncGenerator, Mapping
from typing import Final

__all__ = ["follow", "parse"]

NETLINK_KOBJECT_UEVENT: Final = 15
KERNEL_GROUP: Final = 1
MESSAGE_MAX: Final = 16 << 10
"""Bytes of a message; the kernel's own bound is 2 KiB of variables and a path."""
QUEUE_BYTES: Final = 1 << 20


def parse(data: bytes) -> Mapping[str, str] | None:
    """Return the variables of a message `ACTION@PATH NUL NAME=VALUE NUL …`; None for another's."""
    head, *words = data.rstrip(b"\0").split(b"\0")
    action, at, path = head.partition(b"@")
    if not at or not action.isalpha() or not path.startswith(b"/"):
        return None
    found: dict[str, str] = {}
    for word in words:
        name, is_set, value = word.decode("utf-8", "replace").partition("=")
        if is_set:
            found[name] = value
    return found


async def follow() -> AsyncGenerator[Mapping[str, str] | None, None]:
    """Yield the kernel's messages as they come. Raises OSError.

    None stands for those that nobody heard: at the beginning, and where some were lost.
    """
    loop = asyncio.get_running_loop()
    with socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT
    ) as netlink:
        netlink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE_BYTES)
        netlink.bind((0, KERNEL_GROUP))
        yield None
        while True:
            try:
                data, _, _, sender = netlink.recvmsg(MESSAGE_MAX)
            except BlockingIOError:
                await _readable(loop, netlink)
                continue
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                yield None
                continue
            if sender[0] == 0 and (message := parse(data)) is not None:  # the kernel's own port
                yield message


async def _readable(loop: asyncio.AbstractEventLoop, netlink: socket.socket) -> None:
    ready = loop.create_future()
    loop.add_reader(netlink, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(netlink)
