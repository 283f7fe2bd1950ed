"""The runtime's twin: containers are processes of this host, in no container at all."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

from contract.errors import FailedError
from contract.execwire import Size
from host.desired import ExecProcess
from host.runtime.files import Files
from tests.host.local import LocalContainers

__all__ = ["TwinRuntime"]


class TwinTask:
    """A process with the exit status that it left."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", exits: dict[str, int], name: str
    ) -> None:
        self._process = process
        self._exits = exits
        self._name = name

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    async def wait(self) -> int | None:
        """Wait for it."""
        code = await asyncio.to_thread(self._process.wait)
        self._exits[self._name] = code if code >= 0 else 128 - code
        return self._exits[self._name]

    def kill(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def close(self) -> None:
        """Nothing is held."""


class TwinRuntime:
    """Runs the configuration's arguments."""

    name = "twin"

    def __init__(self) -> None:
        self._tasks: dict[str, TwinTask] = {}
        self._exits: dict[str, int] = {}
        self._local = LocalContainers()

    async def run(self, files: Files, config: dict[str, Any]) -> TwinTask:
        """Start."""
        try:
            process = subprocess.Popen(  # noqa: ASYNC220  returns at once
                config["process"]["args"], start_new_session=True
            )
        except OSError as error:
            raise FailedError(str(error), code="CONTAINER_FAILED") from error
        self._exits.pop(files.name, None)
        self._tasks[files.name] = TwinTask(process, self._exits, files.name)
        return self._tasks[files.name]

    async def find(self, files: Files) -> TwinTask | None:
        """Return it if it runs."""
        task = self._tasks.get(files.name)
        return task if task is not None and task._process.poll() is None else None

    def last_exit(self, files: Files) -> int | None:
        """Return what it left."""
        return self._exits.get(files.name)

    async def delete(self, files: Files) -> None:
        """Kill it."""
        task = self._tasks.pop(files.name, None)
        if task is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(task.pid, signal.SIGKILL)
            await task.wait()

    async def exec(
        self, files: Files, command: Sequence[bytes], *, size: Size | None
    ) -> ExecProcess:
        """Start a process beside it."""
        from host.desired import Desired

        await self._local.apply({files.name: Desired(files.name, enabled=True)})
        return await self._local.exec(files.name, command, size=size)
