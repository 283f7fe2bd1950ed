"""Containers by an OCI runtime's command line, crun's or runc's, under conmon.

Both speak the same line (runtime-spec's command line interface); what differs is in `Facts`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from contract.durable import read_file, write_file
from contract.errors import FailedError, SheltieError
from contract.execwire import Size
from host.desired import ExecProcess
from host.runtime import conmon, execs, logs, oom, programs
from host.runtime.cgroups import Cgroups
from host.runtime.entry import Facts
from host.runtime.files import Files
from host.runtime.seam import Task
from host.runtime.task import OciTask, end_conmon, exit_status, open_task

__all__ = ["OciRuntime"]

CONFIG_MAX: Final = 1 << 20
ANSWER_SECONDS: Final = 60.0
"""What a runtime may take for one command, on the sickest of hosts."""


class OciRuntime:
    """The runtime program of `facts` under conmon; `cgroups` says where its cgroups lie.

    `command` is the beginning of every line for the program. Raises MachineError (PROGRAM_MISSING)
    when made.
    """

    def __init__(self, facts: Facts, run: Path, cgroups: Cgroups) -> None:
        self.name = facts.name
        self.facts = facts
        self.cgroups = cgroups
        self.answer_seconds = ANSWER_SECONDS
        self.command = facts.command(run)
        self._conmon = programs.find("conmon")

    async def run(self, files: Files, config: dict[str, Any]) -> Task:
        """Create and start the container."""
        process = config["process"]
        spared = process.get("oomScoreAdj") == oom.PROTECTED
        if spared:
            # runc would give that to every command too, and who debugs is not to be spared.
            config = {**config, "process": {**process, "oomScoreAdj": oom.USUAL}}
        await self.create(files, config)
        try:
            task = open_task(files, self._learn_exit)
            try:
                if spared:
                    oom.spare(task.pid)
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
        return await programs.run([*self.command, *words], seconds=self.answer_seconds)

    async def _make(self, files: Files) -> None:
        """Create the container of a bundle that is written."""
        await conmon.create(
            self._conmon,
            self.command,
            files,
            lambda pid: self.cgroups.shelter(files.name, pid),
        )

    async def _remove(self, files: Files) -> str:
        """Kill and forget the container; return why it could not be done, or ""."""
        done = await self._call("delete", "--force", files.name)
        return programs.last_line(done.err) if done.status else ""

    async def _learn_exit(self, files: Files) -> None:
        """Bring the exit file where it is not conmon's own."""

    async def create(self, files: Files, config: dict[str, Any]) -> None:
        """Create the container: everything is set up but for its program, which does not run."""
        _begin(files, config)
        try:
            await self._make(files)
        except BaseException:
            await self.delete(files)
            raise

    async def find(self, files: Files) -> Task | None:
        """Return the container if it runs: the pidfd first, so that the pid cannot be another's."""
        try:
            task = open_task(files, self._learn_exit)
        except FailedError:
            await self._learn_exit(files)
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
        done = await self._call("state", self.facts.id_of(files))
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
            why = await self._remove(files)
        except SheltieError as error:  # we kill it ourselves
            why = error.message
        await end_conmon(files)
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
            execs.Order(process, tuple(command), size, self.facts.id_of(files)),
            detached=self.facts.exec_detached,
        )


def _begin(files: Files, config: dict[str, Any]) -> None:
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
