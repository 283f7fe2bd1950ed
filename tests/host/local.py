"""Containers' twin: commands run as real processes of this machine, in no container at all."""

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterable, Mapping, Sequence

from contract.errors import FailedError, NotFoundError
from contract.execwire import Size
from contract.status import ContainerState, ContainerStatus
from host.desired import Desired, ExecProcess

__all__ = ["LocalContainers", "LocalProcess"]

# Run before the command where it has a terminal: the terminal becomes its controlling one.
_CONTROLLING = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
_CONTROLLING += "os.execvp(sys.argv[1], sys.argv[1:])"


class LocalProcess:
    """A process of this machine as an ExecProcess."""

    def __init__(self, process: subprocess.Popen[bytes], input_: int, output: int) -> None:
        self.input = input_
        self.output = output
        self.ended = False
        self.process = process
        self.gone = asyncio.Event()

    @property
    def _terminal(self) -> bool:
        return self.input == self.output

    def close_input(self) -> None:
        """End the input, unless it is a terminal."""
        if self.input >= 0 and not self._terminal:
            os.close(self.input)
            self.input = -1

    def resize(self, size: Size) -> None:
        """Give the terminal a new size."""
        if self._terminal:
            fcntl.ioctl(
                self.input, termios.TIOCSWINSZ, struct.pack("HHHH", size.rows, size.cols, 0, 0)
            )

    async def wait(self) -> int:
        """Return the exit status, 128+n for signal n."""
        pidfd = os.pidfd_open(self.process.pid)
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(pidfd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)
        code = self.process.wait()
        return code if code >= 0 else 128 - code

    async def end(self) -> None:
        """Kill the process and its group, and close the descriptors."""
        if self.ended:
            return
        self.ended = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for descriptor in {self.input, self.output} - {-1}:
            os.close(descriptor)
        self.gone.set()


class LocalContainers:
    """Every container that is wanted and enabled runs, and is this machine."""

    def __init__(self) -> None:
        self.problems: Sequence[str] = ()
        self.desired: Mapping[str, Desired] = {}
        self.applied = 0
        self.ready = asyncio.Event()
        self.ready.set()
        self.processes: list[LocalProcess] = []

    async def apply(self, desired: Mapping[str, Desired]) -> None:
        """Take note of what is wanted."""
        self.desired = desired
        self.applied += 1

    def status(self) -> Sequence[ContainerStatus]:
        """Return what is wanted as running."""
        return [
            ContainerStatus(
                name,
                one.enabled,
                ContainerState.RUNNING if one.enabled else ContainerState.DISABLED,
                "2026-01-01T00:00:00Z",
            )
            for name, one in sorted(self.desired.items())
        ]

    async def settled(self, names: Iterable[str]) -> None:
        """Return once `ready` is set."""
        await self.ready.wait()

    async def exec(self, name: str, command: Sequence[bytes], *, size: Size | None) -> ExecProcess:
        """Start `command` here."""
        if name not in self.desired or not self.desired[name].enabled:
            raise NotFoundError(f"container '{name}' is not running", code="CONTAINER_NOT_RUNNING")
        try:
            process = _piped(command) if size is None else _on_terminal(command, size)
        except OSError as error:
            raise FailedError(f"cannot execute: {error.strerror}", code="EXEC_FAILED") from error
        self.processes.append(process)
        return process


def _piped(command: Sequence[bytes]) -> LocalProcess:
    input_read, input_write = os.pipe()
    output_read, output_write = os.pipe()
    try:
        process = subprocess.Popen(
            list(command),
            stdin=input_read,
            stdout=output_write,
            stderr=output_write,
            start_new_session=True,
        )
    finally:
        os.close(input_read)
        os.close(output_write)
    return LocalProcess(process, input_write, output_read)


def _on_terminal(command: Sequence[bytes], size: Size) -> LocalProcess:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size.rows, size.cols, 0, 0))
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", _CONTROLLING, *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
    finally:
        os.close(slave)
    return LocalProcess(process, master, master)
