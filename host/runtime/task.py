"""A container under conmon, watched: its first process and its conmon, by pidfd."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from contract.durable import read_file
from contract.errors import FailedError
from host.runtime import conmon, logs
from host.runtime.files import Files
from host.runtime.watch import Watch

__all__ = ["OciTask", "end_conmon", "exit_status", "open_task"]

_PID_MAX: Final = 32
_EXIT_SECONDS: Final = 5.0

Learn = Callable[[Files], Awaitable[None]]
"""Brings the exit file where conmon's own is not the one."""


class OciTask:
    """The container of `files`; `learn` brings its exit file."""

    def __init__(self, files: Files, init: Watch, keeper: Watch | None, learn: Learn) -> None:
        self._files = files
        self._learn = learn
        self._init = init
        self._conmon = keeper
        self._log = logs.LogWatch(files)

    @property
    def pid(self) -> int:
        """Its first process."""
        return self._init.pid

    @property
    def kept(self) -> bool:
        """Whether both it and its conmon live."""
        return self._init.alive and self._conmon is not None and self._conmon.alive

    async def wait(self) -> int | None:
        """Return the exit status that conmon left; None when there was no conmon any more."""
        await self._init.gone()
        if self._conmon is not None:
            try:
                # conmon writes the status and ends; the limit is for one that is stopped.
                await asyncio.wait_for(self._conmon.gone(), _EXIT_SECONDS)
            except TimeoutError:
                return exit_status(self._files)
        await self._learn(self._files)
        return exit_status(self._files)

    def kill(self, number: int) -> None:
        """Send a signal to its first process."""
        self._init.kill(number)

    def close(self) -> None:
        """Watch no longer."""
        self._log.close()
        self._init.close()
        if self._conmon is not None:
            self._conmon.close()


def exit_status(files: Files) -> int | None:
    """Return what conmon's exit file says; None without one."""
    try:
        return int(read_file(files.exit, _PID_MAX))
    except (OSError, ValueError):
        return None


def open_task(files: Files, learn: Learn) -> OciTask:
    """Watch the processes of the pid files. Raises FailedError when the first one is gone."""
    init = _watch(files.pid)
    if init is None:
        raise FailedError(f"container {files.name} has ended", code="CONTAINER_FAILED")
    keeper = _watch(files.conmon_pid)
    if keeper is not None and not conmon.is_conmon_of(keeper.pid, files):
        keeper.close()
        keeper = None
    return OciTask(files, init, keeper, learn)


def _watch(file: Path) -> Watch | None:
    try:
        return Watch(int(read_file(file, _PID_MAX)))
    except (OSError, ValueError):
        return None


async def end_conmon(files: Files) -> None:
    """Wait for the conmon of a container that is gone; one that stays is killed."""
    keeper = _watch(files.conmon_pid)
    if keeper is None:
        return
    try:
        if conmon.is_conmon_of(keeper.pid, files):
            try:
                await asyncio.wait_for(keeper.gone(), _EXIT_SECONDS)
            except TimeoutError:
                keeper.kill(signal.SIGKILL)
                await keeper.gone()
    finally:
        keeper.close()
