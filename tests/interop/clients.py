"""Running foreign clients beside the door's own event loop."""

import asyncio
from collections.abc import Sequence

from tests.admin.ssh.door import USER, Door, Finished

__all__ = ["copy_options", "run", "where"]

SECONDS = 60


async def run(*argv: str, stdin: bytes = b"") -> Finished:
    """Run a program to its end."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return Finished(process.returncode, out, err)


def copy_options(door: Door) -> Sequence[str]:
    """Return the options of scp and sftp: ssh's, but that the port's letter is a capital."""
    return ["-P" if part == "-p" else part for part in door.argv()[1:-1]]


def where(door: Door, path: str = "") -> str:
    """Return how scp names a file behind the door."""
    return f"{USER}@{door.host}:{path}"
