"""Keeping the ledger: a process of its own, started before the door, and anew when it ends."""

import asyncio
import contextlib
import logging
import os
import sys

from admin.keeper.door import Delay
from admin.keeper.log import event
from admin.sheltie import host
from contract import places
from contract.errors import SheltieError

__all__ = ["keep"]

_log = logging.getLogger(__name__)


async def keep(socket: str = places.LEDGER_SOCKET, records: str = places.LEDGER) -> None:
    """Run the ledger until cancelled, which ends it; where it cannot see the host, say so once."""
    why = _refusal()
    if why:
        _log.warning(event("no-ledger", why=why))
        await asyncio.get_running_loop().create_future()
    delay, loop = Delay(), asyncio.get_running_loop()
    while True:
        begun = loop.time()
        argv = [sys.executable, "-I", "-m", "admin.ledger", socket, records]
        try:
            process = await asyncio.create_subprocess_exec(*argv, stdin=asyncio.subprocess.DEVNULL)
        except OSError as error:
            told = str(error.strerror)
        else:
            try:
                told = f"status {await process.wait()}"
            finally:
                with contextlib.suppress(ProcessLookupError):  # it ended
                    process.kill()
        seconds = delay.take(loop.time() - begun)
        _log.error(event("ledger-ended", why=told, seconds=f"{seconds:g}"))
        await asyncio.sleep(seconds)


def _refusal() -> str:
    """Return why there can be no ledger, in a sentence; nothing when there can."""
    if os.geteuid():
        return "it needs root"
    try:
        os.close(host.find().pidfd)
    except SheltieError as error:
        return error.message
    return ""
