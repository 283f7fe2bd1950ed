"""The seam between supervisor and runtime: what it takes to run, find, end and enter containers."""

from collections.abc import Sequence
from typing import Any, Protocol

from contract.execwire import Size
from host.desired import ExecProcess
from host.runtime.files import Files

__all__ = ["Runtime", "Task"]


class Task(Protocol):
    """A container that runs, or has just ended."""

    @property
    def pid(self) -> int:
        """Its first process, in the daemon's pid namespace."""

    async def wait(self) -> int | None:
        """Return the exit status, 128+n for signal n, once it has ended; None when it is lost."""

    def kill(self, number: int) -> None:
        """Send a signal to its first process; one that has ended gets none."""

    def close(self) -> None:
        """Watch it no longer; it goes on. Idempotent."""


class Runtime(Protocol):
    """What runs containers. `name` is the program's."""

    name: str

    async def run(self, files: Files, config: dict[str, Any]) -> Task:
        """Create and start the container whose root is mounted at `files.rootfs`.

        Raises FailedError (CONTAINER_FAILED); then nothing of it is left.
        """

    async def find(self, files: Files) -> Task | None:
        """Return the container that another daemon started, if it still runs."""

    def last_exit(self, files: Files) -> int | None:
        """Return the exit status of the container's last run, as far as one was left."""

    async def delete(self, files: Files) -> None:
        """Kill whatever is left of the container and forget it; idempotent.

        Raises FailedError (CONTAINER_STUCK).
        """

    async def exec(
        self, files: Files, command: Sequence[bytes], *, size: Size | None
    ) -> ExecProcess:
        """Start `command` in the running container; with a terminal where `size` is given.

        Raises FailedError (EXEC_FAILED).
        """
