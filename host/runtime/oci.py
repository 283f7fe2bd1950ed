"""Containers by an OCI runtime's command line, crun's or runc's, under conmon.

Both speak the same line (runtime-spec's command line interface); what differs is in `Facts`.
"""

import asyncio
import json
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from contract.durable import ensure_directory, read_file, write_file
from contract.errors import FailedError, SheltieError
from contract.execwire import Size
from host.desired import ExecProcess
from host.runtime import conmon, execs, logs, programs
from host.runtime.cgroups import Cgroups
from host.runtime.files import Files
from host.runtime.seam import Task
from host.runtime.watch import Watch

__all__ = ["CRUN", "FACTS", "RUNC", "Facts", "OciRuntime", "OciTask"]

CONFIG_MAX: Final = 1 << 20
_PID_MAX: Final = 32
_EXIT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 60.0
"""What a runtime may take for one command, on the sickest of hosts."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a runtime program.

    `exec_detached`: it copies the streams of an exec itself unless it is detached, so that stdout
    and stderr would lose their order; detached, it needs somebody who learns the exit status.
    """

    name: str
    exec_detached: bool


CRUN: Final = Facts("crun", exec_detached=False)
RUNC: Final = Facts("runc", exec_detached=True)
FACTS: Final = {facts.name: facts for facts in (CRUN, RUNC)}


class OciTask:
    """A container under conmon: its first process and its conmon, by pidfd."""

    def __init__(self, files: Files, init: Watch, keeper: Watch | None) -> None:
        self._files = files
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


class OciRuntime:
    """The runtime program `facts` under conmon. `cgroups` says where its containers' cgroups lie.

    Raises MachineError (PROGRAM_MISSING) when made.
    """

    def __init__(self, facts: Facts, run: Path, cgroups: Cgroups) -> None:
        self.name = facts.name
        self.facts = facts
        self.program = programs.find(facts.name)
        self._conmon = programs.find("conmon")
        self._root = run / facts.name
        self.cgroups = cgroups

    @property
    def command(self) -> list[str]:
        """The beginning of every command line."""
        return [self.program, "--root", str(self._root)]

    async def run(self, files: Files, config: dict[str, Any]) -> Task:
        """Create and start the container."""
        await self.create(files, config)
        try:
            task = _open(files)
            try:
                await self._start(files)
            except BaseException:
                task.close()
                raise
        except BaseException:
            await self.delete(files)
            raise
        return task

    async def _start(self, files: Files) -> None:
        done = await self._call("start", files.name)
        if done.status:
            why = programs.last_line(done.err)
            raise FailedError(
                f"container {files.name} could not be started: {why}", code="CONTAINER_FAILED"
            )

    async def _call(self, *words: str) -> programs.Done:
        return await programs.run([*self.command, *words], seconds=ANSWER_SECONDS)

    async def create(self, files: Files, config: dict[str, Any]) -> None:
        """Create the container: everything is set up but for its program, which does not run."""
        ensure_directory(self._root)
        begin(files, config)
        try:
            await conmon.create(
                self._conmon,
                self.command,
                files,
                lambda pid: self.cgroups.shelter(files.name, pid),
            )
        except BaseException:
            await self.delete(files)
            raise

    async def find(self, files: Files) -> Task | None:
        """Return the container if it runs: the pidfd first, so that the pid cannot be another's."""
        try:
            task = _open(files)
        except FailedError:
            return None
        try:
            if await self._runs(files, task):
                return task
        except BaseException as error:
            # Two witnesses without it: this very container's conmon lives, and so does the process.
            if task.kept and isinstance(error, SheltieError):
                return task
            task.close()
            raise
        task.close()
        return None

    async def _runs(self, files: Files, task: OciTask) -> bool:
        done = await self._call("state", files.name)
        if done.status:
            return False
        state = json.loads(done.out)
        return bool(state.get("status") == "running" and state.get("pid") == task.pid)

    def last_exit(self, files: Files) -> int | None:
        """Return the status in conmon's exit file."""
        return exit_status(files)

    async def delete(self, files: Files) -> None:
        """Thaw, kill, delete, and remove the cgroups."""
        self.cgroups.thaw(files.name)
        # Of a superpowered container processes may be left when its first one has ended: both
        # runtimes kill what is in the cgroup.
        try:
            done = await self._call("delete", "--force", files.name)
            why = programs.last_line(done.err) if done.status else ""
        except SheltieError as error:  # we kill it ourselves
            why = error.message
        keeper = _watch(files.conmon_pid)
        if keeper is not None:
            if conmon.is_conmon_of(keeper.pid, files):
                await _end(keeper)
            keeper.close()
        self.cgroups.kill(files.name)
        try:
            await self.cgroups.remove(files.name)
        except OSError as error:
            raise FailedError(
                f"container {files.name} does not end: {why or error}", code="CONTAINER_STUCK"
            ) from error
        for file in (files.pid, files.conmon_pid):
            file.unlink(missing_ok=True)

    async def exec(
        self, files: Files, command: Sequence[bytes], *, size: Size | None
    ) -> ExecProcess:
        """Start `command` with the environment and rights of the container's first process."""
        process = json.loads(read_file(files.config, CONFIG_MAX))["process"]
        return await execs.start(
            [*self.command, "exec"],
            files,
            execs.Order(process, tuple(command), size),
            detached=self.facts.exec_detached,
        )


def begin(files: Files, config: dict[str, Any]) -> None:
    """Write the bundle of a run that begins, and clear what tells of the last one.

    Raises FailedError (STATE_UNWRITABLE).
    """
    try:
        write_file(files.config, json.dumps(config).encode())
        for old in (files.exit, files.pid, files.conmon_pid):
            old.unlink(missing_ok=True)
        logs.prepare(files)
    except OSError as error:
        raise FailedError(
            f"cannot write below {files.home}: {error.strerror}", code="STATE_UNWRITABLE"
        ) from error


def exit_status(files: Files) -> int | None:
    """Return what conmon's exit file says; None without one."""
    try:
        return int(read_file(files.exit, _PID_MAX))
    except (OSError, ValueError):
        return None


def _open(files: Files) -> OciTask:
    """Watch the processes of the pid files. Raises FailedError when the first one is gone."""
    init = _watch(files.pid)
    if init is None:
        raise FailedError(f"container {files.name} has ended", code="CONTAINER_FAILED")
    keeper = _watch(files.conmon_pid)
    if keeper is not None and not conmon.is_conmon_of(keeper.pid, files):
        keeper.close()
        keeper = None
    return OciTask(files, init, keeper)


def _watch(file: Path) -> Watch | None:
    try:
        return Watch(int(read_file(file, _PID_MAX)))
    except (OSError, ValueError):
        return None


async def _end(keeper: Watch) -> None:
    """Wait for a conmon whose container is gone; one that stays is killed."""
    try:
        await asyncio.wait_for(keeper.gone(), _EXIT_SECONDS)
    except TimeoutError:
        keeper.kill(signal.SIGKILL)
        await keeper.gone()
