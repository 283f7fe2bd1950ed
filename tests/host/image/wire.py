"""A wire between client and registry that the tests can cut, bend, slow down or tap."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["Wire"]


class Wire:
    """A TCP relay to `target`. What comes from there is counted; at `at` bytes `then` happens.

    `then` is `cut` (and nobody gets through any more), `flip` (one bit of that byte) or `stall`
    (nothing comes any more until `release`). `connect` makes it an HTTP proxy for CONNECT.
    """

    def __init__(self, target: int, *, connect: bool = False) -> None:
        self.port = 0
        self.at: int | None = None
        self.then = "cut"
        self.count = 0
        self.hosts: list[str] = []
        self._dead = False
        self.reached = asyncio.Event()
        self._released = asyncio.Event()
        self._target = target
        self._connect = connect
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def to(cls, target: int, *, connect: bool = False) -> AsyncIterator["Wire"]:
        """Have one until the end of the block."""
        wire = cls(target, connect=connect)
        server = await asyncio.start_server(wire._serve, "127.0.0.1", 0)
        wire.port = server.sockets[0].getsockname()[1]
        try:
            yield wire
        finally:
            server.close()
            for task in list(wire._tasks):
                task.cancel()
            if wire._tasks:
                await asyncio.wait(wire._tasks)
            await server.wait_closed()

    def arm(self, then: str, at: int) -> None:
        """Let `then` happen after `at` bytes from now."""
        self.then, self.at, self.count = then, at, 0
        self.reached.clear()
        self._released.clear()

    def disarm(self) -> None:
        """Be a plain wire again."""
        self.at, self._dead = None, False
        self._released.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._relay(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut():
            return
        if self._connect:
            head = await reader.readuntil(b"\r\n\r\n")
            self.hosts.append(head.split()[1].decode())
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        there, onward = await asyncio.open_connection("127.0.0.1", self._target)
        up = asyncio.ensure_future(self._up(reader, onward))
        try:
            while data := await there.read(1 << 14):
                writer.write(await self._bent(data))
                await writer.drain()
                if self._is_cut():
                    return
        finally:
            up.cancel()
            onward.close()

    async def _up(self, reader: asyncio.StreamReader, onward: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 14):
                onward.write(data)
                await onward.drain()

    def _is_cut(self) -> bool:
        return self._dead

    async def _bent(self, data: bytes) -> bytes:
        start = self.count
        self.count += len(data)
        if self.at is None or not start <= self.at < self.count:
            return data
        where = self.at - start
        self.reached.set()
        if self.then == "cut":
            self._dead = True
            return data[:where]
        if self.then == "flip":
            self.at = None
            return data[:where] + bytes([data[where] ^ 1]) + data[where + 1 :]
        await self._released.wait()
        return data
