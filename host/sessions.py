"""Who is in admin: its own word, asked as control asks it, by `admin rpc`."""

import asyncio
import os
from typing import Final

import msgspec

from contract.errors import SheltieError
from contract.rpc import AdminStatus, Request, decode_reply, encode
from contract.status import ContainerState
from host.callers import ADMIN
from host.desired import Containers, ExecProcess

__all__ = ["count"]

SECONDS: Final = 30.0
OUTPUT_MAX: Final = 1 << 20
_READ_SIZE: Final = 1 << 16


async def count(containers: Containers) -> int:
    """Return how many sessions admin has. One that runs and gives no answer counts as one."""
    found = {one.name: one for one in containers.status()}
    if ADMIN not in found or found[ADMIN].state is not ContainerState.RUNNING:
        return 0
    try:
        process = await containers.exec(ADMIN, [b"admin", b"rpc"], size=None)
    except SheltieError:
        return 0  # nobody can be in what cannot be entered
    try:
        async with asyncio.timeout(SECONDS):
            return len((await _ask(process)).sessions)
    except (TimeoutError, OSError, SheltieError, msgspec.ValidationError):
        return 1
    finally:
        await process.end()


async def _ask(process: ExecProcess) -> AdminStatus:
    os.write(process.input, encode(Request(1, "status")))
    process.close_input()
    data = await asyncio.to_thread(_read, process.output)
    await process.wait()
    # Standard error comes the same way: what is no JSON object is no reply.
    line = next((line for line in data.splitlines() if line.startswith(b"{")), b"")
    return msgspec.convert(decode_reply(line).result, AdminStatus)


def _read(descriptor: int) -> bytes:
    os.set_blocking(descriptor, True)
    data = b""
    while len(data) < OUTPUT_MAX and (piece := os.read(descriptor, _READ_SIZE)):
        data += piece
    return data
