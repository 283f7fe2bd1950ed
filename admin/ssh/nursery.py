"""The monitor's side of a zygote: start it, ask it for children, hear when it is gone."""

import asyncio
import itertools
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

from admin.ssh.frame import Channel
from admin.ssh.zygote import Answer, Spawn, Unspawned
from contract.errors import UnavailableError, UsageError

__all__ = ["Nursery", "Spawner"]

SPAWN_SECONDS = 10


class Spawner(Protocol):
    """Whatever makes processes: a nursery, or its twin in tests."""

    async def spawn(self, task: bytes, descriptors: Sequence[int]) -> int:
        """Return the pidfd of a new child that holds copies of `descriptors`."""


class Nursery:
    """A running zygote of module `module`; `gone` is called when it ended."""

    def __init__(self, module: str, arguments: Sequence[str], gone: Callable[[str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._module = module
        self._gone = gone
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[int]] = {}
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            argv = [sys.executable, "-I", "-m", module, str(theirs.fileno()), *arguments]
            self._process = subprocess.Popen(
                argv, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
            )
        ours.setblocking(False)  # noqa: FBT003  its only form
        self._channel: Channel[Spawn, Answer] = Channel(ours, Answer)
        self._loop.add_reader(ours.fileno(), self._readable)

    async def spawn(self, task: bytes, descriptors: Sequence[int]) -> int:
        """Return the pidfd of a new child that holds copies of `descriptors`.

        Raises UnavailableError when the zygote is gone or does not answer.
        """
        number = next(self._ids)
        future: asyncio.Future[int] = self._loop.create_future()
        self._waiting[number] = future
        try:
            self._channel.send(Spawn(number, task), descriptors)
            return await asyncio.wait_for(future, SPAWN_SECONDS)
        except (OSError, TimeoutError) as error:
            raise UnavailableError(f"{self._module} starts no process: {error}") from error
        finally:
            self._waiting.pop(number, None)

    def _readable(self) -> None:
        try:
            received = self._channel.receive()
        except BlockingIOError:
            return
        except (OSError, UsageError):
            received = None
        if received is None:
            self._loop.remove_reader(self._channel.fileno())
            self._gone(self._module)
            return
        answer, descriptors = received
        future = self._waiting.get(answer.id)
        if isinstance(answer, Unspawned):
            if future is not None and not future.done():
                future.set_exception(OSError(answer.why))
        elif future is None or future.done() or len(descriptors) != 1:
            for descriptor in descriptors:
                socket.close(descriptor)
        else:
            future.set_result(descriptors[0])
