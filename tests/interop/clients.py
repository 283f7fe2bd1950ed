"""Running foreign clients beside the door's own event loop."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from tests.admin.ssh.door import USER, Door, Finished

__all__ = ["copy_options", "dropbear_home", "run", "until", "where"]

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


async def dropbear_home(door: Door, directory: Path) -> Path:
    """Make a home that holds the operator's key in dropbear's form, and the door's host keys."""
    home = directory / "home"
    (home / ".ssh").mkdir(parents=True)
    identity = home / "id"
    done = await run("dropbearconvert", "openssh", "dropbear", str(door.identity), str(identity))
    assert done.code == 0, done.err
    known = "".join(f"{door.host} {key}\n" for key in door.ready.host_keys)
    (home / ".ssh/known_hosts").write_text(known)
    return home


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds, of which nobody tells us."""
    for _ in range(20 * SECONDS):
        if await holds():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(holds)
