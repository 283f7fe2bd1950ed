"""The programs that do the work: found once at fixed places, run without a shell.

Names are looked up over a PATH of our own, never over the caller's.
"""

import asyncio
import contextlib
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from contract.errors import FailedError, MachineError, TimedOutError
from host.runtime import oom
from host.runtime.watch import Watch

__all__ = ["ENVIRONMENT", "PLACES", "Done", "find", "last_line", "run"]

PLACES: Final = (
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/usr/libexec/podman",
)
"""Where programs are looked for; Fedora keeps conmon in the last one."""
ENVIRONMENT: Final[Mapping[str, str]] = {"PATH": ":".join(PLACES), "LC_ALL": "C"}
"""All that a program of ours sees of an environment."""
OUTPUT_MAX: Final = 1 << 20
"""Bytes that are kept of each of a program's outputs."""

_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_STAMP: Final = re.compile(r"^\d{4}-\d\d-\d\dT[0-9:.]+Z?: ")
_LOGGED: Final = re.compile(r'\bmsg="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Done:
    """How a program ended: its exit status (128+n for signal n), what it wrote."""

    status: int
    out: bytes
    err: bytes


def find(name: str) -> str:
    """Return the absolute path of program `name`, which Debian's package of that name brings.

    Raises MachineError (PROGRAM_MISSING).
    """
    for place in PLACES:
        path = Path(place, name)
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    raise MachineError(
        f"{name} is missing",
        hint=f"install Debian's package {name}",
        code="PROGRAM_MISSING",
    )


async def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    more: Mapping[str, str] | None = None,
    seconds: float | None = None,
) -> Done:
    """Run a program to its end. When the caller is cancelled it is killed first.

    It sees ENVIRONMENT and `more`.

    Raises FailedError (PROGRAM_FAILED) when it cannot be started, TimedOutError (PROGRAM_SLOW) when
    it has not ended after so many `seconds`; then it is killed too.
    """
    try:
        async with asyncio.timeout(seconds):
            return await _run(argv, cwd, {**ENVIRONMENT, **(more or {})})
    except TimeoutError as error:
        raise TimedOutError(
            f"{Path(argv[0]).name} did not end in {seconds or 0:.0f} s", code="PROGRAM_SLOW"
        ) from error


async def _run(argv: Sequence[str], cwd: Path | None, environment: Mapping[str, str]) -> Done:
    try:
        # Returns after fork and exec, like asyncio's own, which would also want to reap.
        process = subprocess.Popen(  # noqa: ASYNC220  see above
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=cwd or "/",
        )
    except OSError as error:
        raise FailedError(
            f"cannot run {argv[0]}: {error.strerror}", code="PROGRAM_FAILED"
        ) from error
    watch = Watch(process.pid)
    oom.release(process.pid)
    try:
        out, err = await asyncio.gather(_drain(process.stdout), _drain(process.stderr))
        await watch.gone()
    except BaseException:
        process.kill()
        raise
    finally:
        watch.close()
        status = process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    return Done(status if status >= 0 else 128 - status, out, err)


def last_line(text: bytes) -> str:
    """Return the last line that a program wrote, without its colours and its time of day."""
    lines = _COLOUR.sub("", text.decode("utf-8", "replace")).strip().splitlines()
    if not lines:
        return "it gave no reason"
    # runc and umoci log as key="value", crun puts the time in front.
    if logged := _LOGGED.search(lines[-1]):
        return re.sub(r"\\(.)", r"\1", logged[1])
    return _STAMP.sub("", lines[-1]).strip()


async def _drain(stream: IO[bytes] | None) -> bytes:
    """Read a pipe to its end and keep OUTPUT_MAX bytes of it."""
    if stream is None:
        return b""
    kept = bytearray()
    descriptor = stream.fileno()
    os.set_blocking(descriptor, False)
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        while True:
            await ready.wait()
            ready.clear()
            with contextlib.suppress(BlockingIOError):
                data = os.read(descriptor, 1 << 16)
                if not data:
                    return bytes(kept)
                kept += data[: OUTPUT_MAX - len(kept)]
    finally:
        loop.remove_reader(descriptor)
