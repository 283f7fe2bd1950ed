"""A preloaded process that forks a child for each request: the cheap way to a fresh process.

The child inherits warm imports and nothing else: no descriptor but its own, no key, no former
connection. The answer to a request is a pidfd, so that its end is seen and a kill cannot miss.
"""

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import msgspec

from admin.ssh.frame import Channel

__all__ = ["Answer", "Spawn", "Spawned", "Unspawned", "prepare", "serve"]

Work = Callable[[bytes, Sequence[int]], int]


class Spawn(msgspec.Struct, tag=True, frozen=True):
    """Fork a child that works on `task` with the descriptors that come along."""

    id: int
    task: bytes


class Spawned(msgspec.Struct, tag=True, frozen=True):
    """The child was forked: with it comes its pidfd."""

    id: int


class Unspawned(msgspec.Struct, tag=True, frozen=True):
    """There is no child: no process or no descriptor is to be had just now."""

    id: int
    why: str


Answer = Spawned | Unspawned


def prepare(rehearse: Callable[[], None]) -> None:
    """Go once through what the children will do, and keep what is there now for them to share."""
    try:
        rehearse()
    except Exception as error:  # noqa: BLE001  whatever it is: the children start, and cost more
        sys.stderr.write(f"{rehearse.__module__}: {error!r}\n")
    gc.collect()
    gc.freeze()  # no collector may touch the pages


def serve(
    channel: "Channel[Answer, Spawn]", work: Work, ready: Callable[[bytes], None] | None = None
) -> None:
    """Fork a child for each request until the channel ends; `ready` sees its task before it."""
    signal.signal(signal.SIGCHLD, _reap)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while (received := channel.receive()) is not None:
        request, descriptors = received
        if ready is not None:
            ready(request.task)
        # Not reaped before its pidfd is open: a child may end at once.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        try:
            pid = os.fork()
            if not pid:
                channel.close()
                _child(work, request.task, descriptors)
            pidfd = os.pidfd_open(pid)
        except OSError as error:
            channel.send(Unspawned(request.id, error.strerror or str(error)))
        else:
            channel.send(Spawned(request.id), [pidfd])
            os.close(pidfd)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        for descriptor in descriptors:
            os.close(descriptor)


def _child(work: Work, task: bytes, descriptors: Sequence[int]) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    status = 1
    try:
        status = work(task, descriptors)
    finally:
        os._exit(status)


def _reap(_number: int, _frame: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
