"""One exec: the conversation with the client on one side, the process on the other."""

import asyncio
import errno
import logging
import os
from asyncio import StreamReader, StreamWriter
from dataclasses import dataclass
from typing import Any, Final

from contract.errors import SheltieError, UsageError
from contract.execwire import (
    CAPACITY_EVERY,
    HEARTBEAT_SECONDS,
    HEARTBEAT_TIMEOUT_SECONDS,
    MESSAGES_OUTSTANDING_MAX,
    OUTPUT_MAX,
    Capacity,
    ContentComplete,
    Initialize,
    Size,
    Winch,
    decode_client,
    encode_server,
)
from host import callers
from host.api.exec.channel import Channel, ClientGoneError, ClosingError
from host.api.exec.inbox import Inbox
from host.api.exec.pipes import read_now, readable, write_all
from host.api.message import Call
from host.audit.calls import who
from host.desired import ExecProcess
from host.house import House
from host.logline import event

__all__ = ["Pace", "Session", "serve"]

TAIL_SECONDS: Final = 0.5
"""How long output is waited for after the process ended, as upstream does."""
TAIL_BYTES: Final = 1 << 20
"""Output taken after the end: more than a pipe or a terminal holds, so all of the process's own;
what a child of its that lives on keeps writing ends here."""
_READ_SIZE: Final = 64 << 10

_log = logging.getLogger("host.exec")

RPC: Final = (b"admin", b"rpc")
"""What asks admin's keeper: it leads to no shell."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between pings, and of silence after which a client counts as lost."""

    every: float = HEARTBEAT_SECONDS
    lost: float = HEARTBEAT_TIMEOUT_SECONDS


PACE: Final = Pace()


async def serve(
    house: House, call: Call, reader: StreamReader, writer: StreamWriter, rest: bytes
) -> None:
    """Serve one exec on an opened WebSocket until its end."""
    await Session(house, call, Channel(reader, writer, rest), PACE).run()


@dataclass
class Session:
    """The state of one exec. `run` returns when it is over and raises only when cancelled."""

    house: House
    call: Call
    channel: Channel
    pace: Pace = PACE

    def __post_init__(self) -> None:
        self._inbox = Inbox()
        self._initialize: asyncio.Future[Initialize] = asyncio.get_running_loop().create_future()
        self._process: ExecProcess | None = None
        self._size: Size | None = None
        self._who = who(self.call.caller, self.call.peer)
        self._target = ""
        self._started = 0
        self._has_terminal = False

    async def run(self) -> None:
        """Talk until process or client end; whichever does, the other is not left behind."""
        outcome: ClosingError | ClientGoneError = ClientGoneError()
        try:
            async with asyncio.TaskGroup() as group:
                for part in (self._heartbeat, self._receive, self._work):
                    group.create_task(part())
        except* (ClosingError, ClientGoneError) as ends:
            outcome = _first(ends)
        except* Exception:  # noqa: BLE001  a defect of ours ends this exec, not the daemon
            _log.exception(event("defect", where="exec"))
            outcome = ClosingError(1011, "internal error, see the daemon's log")
        finally:
            if self._process is not None:
                await self._process.end()
                self.house.terminals[self._target] -= self._has_terminal
            self._note_end(outcome)
        if isinstance(outcome, ClosingError):
            await self.channel.close(outcome.code, outcome.reason)

    async def _heartbeat(self) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() - self.channel.heard <= self.pace.lost:
            await asyncio.sleep(self.pace.every)
            self.channel.ping()
        raise ClientGoneError

    async def _receive(self) -> None:
        await self._send_capacity(0)
        async for message in self.channel.messages():
            if isinstance(message, bytes):
                self._take_input(message)
            else:
                self._take_control(message)

    def _take_input(self, data: bytes) -> None:
        if not self._initialize.done():
            raise ClosingError(1008, "process data sent before initialization")
        if not self._inbox.put(data):
            raise ClosingError(1009, "write buffer full; obey capacity updates")

    def _take_control(self, text: str) -> None:
        try:
            message = decode_client(text)
        except UsageError as error:
            raise ClosingError(1007, f"invalid JSON in client message: {error.message}") from error
        match message:
            case Initialize():
                self._take_initialize(message)
            case ContentComplete():
                if not self._initialize.done():
                    raise ClosingError(1008, "ContentComplete sent before initialization")
                self._inbox.end()
            case Winch(size):
                self._size = size
                if self._process is not None:
                    self._process.resize(size)

    def _take_initialize(self, message: Initialize) -> None:
        if self._initialize.done():
            raise ClosingError(1008, "process is initialized already")
        try:
            callers.check_exec(
                self.call.caller, message.target, admin_enabled=self.house.admin_enabled
            )
        except SheltieError as error:
            self._note("exec-refused", message, code=error.code)
            self.house.calls.refused(self._who, f"exec into {message.target}", error)
            raise ClosingError(1008, error.message) from error
        self._initialize.set_result(message)

    async def _work(self) -> None:
        """Start the process, feed it, relay its output, and close with its exit status."""
        request = await self._initialize
        process = await self._start(request)
        async with asyncio.TaskGroup() as group:
            feeding = group.create_task(self._feed(process))
            exited = group.create_task(process.wait())
            await self._relay(process.output, exited)
            status = await exited
            feeding.cancel()
        raise ClosingError(1000, str(status))

    async def _start(self, request: Initialize) -> ExecProcess:
        size = (request.size or Size(24, 80)) if request.tty else None
        self._note("exec", request)
        argv = [word.decode("utf-8", "replace") for word in request.command]
        self._target = request.target
        if self.house.touched is not None and _leads_to_root(request):
            self.house.touched.touch(f"exec of {self._who.caller}")
        # Before it starts: what runs has its record.
        self._started = self.house.calls.exec_started(
            self._who, request.target, argv, tty=request.tty
        )
        try:
            process = await self.house.containers.exec(request.target, request.command, size=size)
        except (SheltieError, OSError) as error:
            why = error.message if isinstance(error, SheltieError) else str(error)
            self._note("exec-failed", request, why=why)
            raise ClosingError(1011, f"failed to spawn process: {why}") from error
        self._process = process
        self.house.terminals[request.target] += request.tty
        self._has_terminal = request.tty
        os.set_blocking(process.output, False)
        if process.input >= 0:
            os.set_blocking(process.input, False)
        if self._size is not None:  # it came while the process was starting
            process.resize(self._size)
        return process

    async def _feed(self, process: ExecProcess) -> None:
        """Write input, and tell the client every so often how much was written."""
        written = 0
        open_ = True
        while (data := await self._inbox.get()) is not None:
            try:
                if open_:
                    await write_all(process.input, data)
            except OSError as error:
                if not _closed(error):
                    raise ClosingError(1011, "writing to process failed") from error
                open_ = False  # the process reads no more, as `head` does: it goes on without us
            written += 1
            if written % CAPACITY_EVERY == 0:
                await self._send_capacity(written)
        process.close_input()

    async def _relay(self, output: int, exited: asyncio.Task[int]) -> None:
        """Send output until its end, or until the process's own part of it is through."""
        left, after = TAIL_SECONDS, 0
        while left > 0 and after < TAIL_BYTES:
            data = read_now(output, _READ_SIZE)
            if data is None:
                left = await _wait_for_output(output, exited, left)
            elif not data:
                return
            else:
                pieces = range(0, len(data), OUTPUT_MAX)
                await self.channel.send([data[at : at + OUTPUT_MAX] for at in pieces])
                await asyncio.sleep(0)  # a process that never stops writing starves nobody
                after += len(data) if exited.done() else 0

    async def _send_capacity(self, written: int) -> None:
        await self.channel.send([encode_server(Capacity(MESSAGES_OUTSTANDING_MAX, written))])

    def _note(self, name: str, request: Initialize, **more: object) -> None:
        command = " ".join(word.decode("utf-8", "replace") for word in request.command)
        caller = {"caller": self.call.caller.label, "uid": self.call.peer.uid}
        pid = self.call.peer.pid or "outside"
        what = {"target": request.target, "tty": request.tty, "command": command}
        _log.info(event(name, **caller, pid=pid, **what, **more))

    def _note_end(self, outcome: ClosingError | ClientGoneError) -> None:
        closing = outcome if isinstance(outcome, ClosingError) else None
        result = f"{closing.code} {closing.reason}" if closing else "client gone"
        caller = {"caller": self.call.caller.label, "pid": self.call.peer.pid or "outside"}
        _log.info(event("exec-end", **caller, result=result))
        if self._target:
            self.house.calls.exec_ended(self._who, self._target, self._started, result)


async def _wait_for_output(output: int, exited: asyncio.Task[int], left: float) -> float:
    """Wait until there is output or the process ends; return the seconds that are left for it."""
    loop = asyncio.get_running_loop()
    with readable(output) as ready:
        if not exited.done():
            either: set[asyncio.Future[Any]] = {ready, exited}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            return left
        start = loop.time()
        await asyncio.wait({ready}, timeout=left)
        return left - (loop.time() - start)


def _leads_to_root(request: Initialize) -> bool:
    return request.target == callers.ADMIN and request.command != RPC


def _closed(error: OSError) -> bool:
    return error.errno in {errno.EPIPE, errno.EIO, errno.ECONNRESET}


def _first(
    group: BaseExceptionGroup[ClosingError | ClientGoneError],
) -> ClosingError | ClientGoneError:
    """Return what ended a session: the first exception of the first group."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
