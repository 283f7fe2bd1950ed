"""Rebooting the host: a command that the configuration names."""

import contextlib
import shlex
from collections.abc import Sequence
from typing import Final

from contract.errors import FailedError, UsageError

__all__ = ["COMMAND", "parse", "reboot"]

COMMAND: Final = "/usr/bin/systemctl reboot --check-inhibitors=yes"
"""Upstream's: an inhibitor lock (systemd-inhibit(1)) holds the reboot off."""
SECONDS: Final = 60.0
"""Longest wait for the command; it only orders the reboot."""
_STDERR_MAX: Final = 2000


def parse(line: str) -> tuple[str, ...]:
    """Return the words of a command line. Raises UsageError (REBOOT_COMMAND)."""
    try:
        words = tuple(shlex.split(line))
    except ValueError as error:
        raise UsageError(
            f"the reboot command cannot be read: {error}", code="REBOOT_COMMAND"
        ) from error
    if not words:
        raise UsageError("the reboot command is empty", code="REBOOT_COMMAND")
    return words


async def reboot(command: Sequence[str], seconds: float = SECONDS) -> None:
    """Run the command. Raises FailedError (REBOOT_FAILED) in upstream's words."""
    import asyncio  # the command line needs COMMAND alone

    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        why = f"Failed to reboot: cannot execute {command[0]}: {error.strerror}"
        raise FailedError(why, code="REBOOT_FAILED") from error
    try:
        async with asyncio.timeout(seconds):
            _, stderr = await process.communicate()
    except TimeoutError as error:
        why = f"Failed to reboot: {command[0]} did not end in {seconds:g} s"
        raise FailedError(why, code="REBOOT_FAILED") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        said = stderr.decode("utf-8", "replace").strip()[:_STDERR_MAX]
        raise FailedError(
            f"Failed to reboot, exit code: {process.returncode}, stderr: {said}",
            code="REBOOT_FAILED",
        )
