"""What the supervisor relies on in every Runtime: the tests that each implementation inherits.

A subclass offers a fixture `stage` with a runtime and a way to prepare a container.
"""

import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from contract.errors import FailedError
from contract.execwire import Size
from host.runtime.files import Files
from host.runtime.seam import Runtime
from tests.host.runtime.bench import output_of

__all__ = ["RuntimePromises", "Stage"]

# crun starts the command first, and gives its terminal a size a moment later.
SIZED = b"until stty size 2>/dev/null; do sleep 0.01; done"


@dataclass
class Stage:
    """A runtime, and what prepares a container that runs some arguments."""

    runtime: Runtime
    prepare: Callable[[str, Sequence[str]], Awaitable[tuple[Files, dict[str, Any]]]]

    async def run(self, *args: str) -> tuple[Files, Any]:
        """Run a container `one`."""
        files, config = await self.prepare("one", args)
        return files, await self.runtime.run(files, config)


class RuntimePromises:
    """The promises."""

    @pytest.mark.parametrize(("script", "status"), [("exit 7", 7), ("kill -9 $$", 137)])
    async def test_the_exit_status_comes_back(self, stage: Stage, script: str, status: int) -> None:
        """From waiting, and afterwards from what was left; several may wait."""
        files, task = await stage.run("sh", "-c", script if "kill" not in script else "exit 137")
        assert await task.wait() == status
        assert await task.wait() == status
        task.close()

        assert stage.runtime.last_exit(files) == status
        assert await stage.runtime.find(files) is None

    async def test_a_signal_ends_it(self, stage: Stage) -> None:
        """KILL ends it with 137, and a signal to one that has ended does nothing."""
        _, task = await stage.run("sleep", "600")
        task.kill(signal.SIGKILL)
        assert await task.wait() == 137
        task.kill(signal.SIGKILL)
        task.close()

    async def test_a_running_one_is_found(self, stage: Stage) -> None:
        """What runs is found by its name, and is the same process."""
        files, task = await stage.run("sleep", "600")
        found = await stage.runtime.find(files)
        assert found is not None
        assert found.pid == task.pid
        task.close()
        found.close()

    async def test_deleting_ends_it_and_twice_is_fine(self, stage: Stage) -> None:
        """A running container is killed; one that is not there is no error."""
        files, task = await stage.run("sleep", "600")
        pidfd = os.pidfd_open(task.pid)
        await stage.runtime.delete(files)
        await stage.runtime.delete(files)
        with pytest.raises(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, 0)
        os.close(pidfd)
        task.close()

        assert await stage.runtime.find(files) is None

    async def test_it_runs_again_after_deleting(self, stage: Stage) -> None:
        """The name is free again, and the old status is not the new one's."""
        files, task = await stage.run("sh", "-c", "exit 3")
        await task.wait()
        task.close()
        await stage.runtime.delete(files)
        _, task = await stage.run("sleep", "600")
        assert stage.runtime.last_exit(files) is None
        task.close()

    async def test_a_program_that_is_not_there(self, stage: Stage) -> None:
        """It fails with one line, and nothing of it is left."""
        files, config = await stage.prepare("one", ["/nonexistent"])
        with pytest.raises(FailedError) as caught:
            await stage.runtime.run(files, config)
        assert "nonexistent" in caught.value.line()
        assert await stage.runtime.find(files) is None

    async def test_a_command_inside(self, stage: Stage) -> None:
        """An exec's output and status come back."""
        files, task = await stage.run("sleep", "600")
        process = await stage.runtime.exec(files, [b"sh", b"-c", b"echo in; exit 4"], size=None)
        assert await output_of(process) == (b"in\n", 4)
        process = await stage.runtime.exec(
            files, [b"sh", b"-c", SIZED + b"; exit 5"], size=Size(7, 77)
        )
        assert await output_of(process) == (b"7 77\r\n", 5)
        task.close()
