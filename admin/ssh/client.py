"""The keeper's side of the monitor: start it, configure it, ask it, hear what happens."""

import asyncio
import itertools
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from admin.ssh.control import (
    Configure,
    Event,
    Failed,
    FromMonitor,
    Ready,
    Status,
    StatusRequest,
    ToMonitor,
)
from admin.ssh.frame import Channel
from contract.errors import FailedError, UnavailableError, UsageError

__all__ = ["MonitorLink"]

ANSWER_SECONDS = 20.0
START_SECONDS = 120.0
"""For the first answer: on a slow or crowded host the monitor takes long to begin."""

Answer = TypeVar("Answer")


class MonitorLink:
    """A running monitor. `on_event` hears each Event; `gone` is done when the monitor ended.

    Raises OSError where no process can be had.
    """

    def __init__(self, on_event: Callable[[Event], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_event = on_event
        self._ids = itertools.count(1)
        self._configured: asyncio.Future[Ready] | None = None
        self._statuses: dict[int, asyncio.Future[Status]] = {}
        self.gone: asyncio.Future[str] = self._loop.create_future()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            argv = [sys.executable, "-I", "-m", "admin.ssh.monitor", str(theirs.fileno())]
            try:
                self._process = subprocess.Popen(
                    argv, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
                )
            except OSError:
                ours.close()
                raise
        ours.setblocking(False)  # noqa: FBT003  its only form
        self._channel: Channel[ToMonitor, FromMonitor] = Channel(ours, FromMonitor)
        self._loop.add_reader(ours.fileno(), self._readable)

    async def configure(self, message: Configure) -> Ready:
        """Configure the monitor, the first time or anew; return what it says.

        Raises FailedError with the monitor's own code, UnavailableError when it is gone.
        """
        patience = START_SECONDS if self._configured is None else ANSWER_SECONDS
        self._configured = self._loop.create_future()
        return await self._ask(message, self._configured, patience)

    async def status(self) -> Status:
        """Return who is in. Raises UnavailableError."""
        number = next(self._ids)
        future: asyncio.Future[Status] = self._loop.create_future()
        self._statuses[number] = future
        try:
            return await self._ask(StatusRequest(number), future, ANSWER_SECONDS)
        finally:
            self._statuses.pop(number, None)

    async def close(self) -> None:
        """End the monitor, its listeners and its sessions; idempotent."""
        if self._channel.fileno() < 0:
            return
        self._loop.remove_reader(self._channel.fileno())
        self._channel.close()
        try:
            await asyncio.to_thread(self._process.wait, ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(self._process.wait)
        self._lost("closed")

    async def _ask(
        self, message: ToMonitor, future: "asyncio.Future[Answer]", patience: float
    ) -> Answer:
        try:
            self._channel.send(message)
            return await asyncio.wait_for(future, patience)
        except (OSError, TimeoutError) as error:
            raise UnavailableError("the SSH monitor does not answer", code="MONITOR") from error

    def _readable(self) -> None:
        try:
            received = self._channel.receive()
        except BlockingIOError:
            return
        except (OSError, UsageError):
            received = None
        match received[0] if received else None:
            case Event() as event:
                self._on_event(event)
            case Ready() as ready if self._configured and not self._configured.done():
                self._configured.set_result(ready)
            case Status(number) as status if number in self._statuses:
                if not self._statuses[number].done():
                    self._statuses[number].set_result(status)
            case Failed(code, message):
                self._lost(message, code)
            case None:
                self._loop.remove_reader(self._channel.fileno())
                self._lost("the SSH monitor ended")

    def _lost(self, message: str, code: str = "MONITOR") -> None:
        """Fail what waits, and tell that the monitor is gone."""
        waiting: list[asyncio.Future[Any]] = [*self._statuses.values()]
        if self._configured is not None:
            waiting.append(self._configured)
        for future in waiting:
            if not future.done():
                future.set_exception(FailedError(message, code=code))
        if not self.gone.done():
            self.gone.set_result(message)
