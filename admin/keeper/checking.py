"""Running the door's self-check: in a process of its own, which loads another SSH library."""

import asyncio
import sys
from pathlib import Path

import msgspec

from contract.errors import FailedError, TimedOutError
from contract.rpc import CheckShown

__all__ = ["run"]

SECONDS = 25.0
ANYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  what is listened on


async def run(where: tuple[str, int], user: str, host_keys: Path) -> CheckShown:
    """Check the door at an address. Raises TimedOutError, FailedError (CHECK_FAILED)."""
    host, port = where
    argv = [sys.executable, "-I", "-m", "admin.ssh.check", ANYWHERE.get(host, host), str(port)]
    process = await asyncio.create_subprocess_exec(
        *argv,
        user,
        str(host_keys),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS):
            out, _ = await process.communicate()
    except TimeoutError as error:
        raise TimedOutError("the check of the door took too long", code="CHECK_SLOW") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    try:
        return msgspec.json.decode(out, type=CheckShown)
    except msgspec.DecodeError as error:
        raise FailedError("the check of the door came to no result", code="CHECK_FAILED") from error
