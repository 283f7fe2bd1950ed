"""A keeper's socket that is served for a test, and callers of it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from admin.keeper import place
from admin.keeper.door import Door, Wishes
from admin.keeper.rpc import Service
from contract.rpc import LINE_MAX

__all__ = ["SECONDS", "Caller", "Keeper", "serving"]

SECONDS = 20


@dataclass
class Caller:
    """A connection to the keeper."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, line: bytes) -> dict[str, Any]:
        """Send bytes and return the next reply."""
        self.writer.write(line)
        return await self.reply()

    async def reply(self) -> dict[str, Any]:
        """Return the next reply."""
        async with asyncio.timeout(SECONDS):
            line = await self.reader.readline()
        assert line.endswith(b"\n"), line
        assert len(line) <= LINE_MAX
        found: dict[str, Any] = json.loads(line)
        return found

    async def refused(self, line: bytes) -> tuple[int, str]:
        """Send bytes and return the id and the code of the error."""
        found = await self.ask(line)
        assert "result" not in found
        return found["id"], found["error"]["code"]

    async def ended(self) -> bool:
        """Whether the keeper closes the connection."""
        async with asyncio.timeout(SECONDS):
            try:
                return await self.reader.read() == b""
            except ConnectionResetError:
                return True

    async def close(self) -> None:
        """Hang up."""
        self.writer.close()
        with contextlib.suppress(OSError):  # the keeper was faster
            await self.writer.wait_closed()


@dataclass
class Keeper:
    """A service on a socket."""

    path: Path

    @contextlib.asynccontextmanager
    async def caller(self) -> AsyncIterator[Caller]:
        """Connect meanwhile."""
        reader, writer = await asyncio.open_connection(sock=place.connect(self.path))
        caller = Caller(reader, writer)
        try:
            yield caller
        finally:
            await caller.close()


@contextlib.asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[Keeper]:
    """Serve on a socket in the directory."""
    door = Door(Wishes(directory / "user-data", directory / "etc/ssh"))
    keeper = Keeper(directory / "admin.sock")
    task = asyncio.create_task(Service(door).serve(place.bind(keeper.path)))
    yield keeper
    assert not task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
