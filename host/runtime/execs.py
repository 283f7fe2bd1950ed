"""Commands in a running container: own pipes or a terminal, straight to the process."""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from contract.durable import ensure_directory, read_file
from contract.errors import FailedError
from contract.execwire import Size
from host.runtime import oom, programs, stay
from host.runtime.console import Console, resize
from host.runtime.files import Files
from host.runtime.watch import Watch

__all__ = ["Order", "Process", "document", "start", "sweep", "what"]

STARTING_SECONDS: Final = 30.0
NOT_STARTED: Final = 127
"""Exit status where the runtime could not start the command; the output says why (as a shell)."""
_ENDING_SECONDS: Final = 5.0
_STEP_SECONDS: Final = 0.005
_ERROR_MAX: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Order:
    """What to run: the container's own `process` of OCI's configuration, with another command.

    `container` is the runtime's name of the container.
    """

    process: Mapping[str, Any]
    command: tuple[bytes, ...]
    size: Size | None
    container: str


class Process:
    """A command in a container, as the API's ExecProcess. `room` holds its pid file."""

    def __init__(
        self, client: "subprocess.Popen[bytes]", room: Path, input_: int, output: int
    ) -> None:
        self.input = input_
        self.output = output
        self._client = client
        self._room = room
        self._watch = Watch(client.pid)
        self._ended = False

    def close_input(self) -> None:
        """End the input, unless it is a terminal."""
        if self.input >= 0 and self.input != self.output:
            os.close(self.input)
            self.input = -1

    def resize(self, size: Size) -> None:
        """Give the terminal a new size."""
        if self.input == self.output and self.output >= 0:
            resize(self.output, size)

    async def wait(self) -> int:
        """Return the exit status, 128+n for signal n."""
        await self._watch.gone()
        status = self._client.wait()
        if status and not self._ended and not _pid(self._room):
            return NOT_STARTED
        return status if status >= 0 else 128 - status

    def kill(self) -> None:
        """Kill the process with its group, if it has started and still runs."""
        if self._watch.alive and (pid := _pid(self._room)):
            _kill_group(pid)

    async def end(self) -> None:
        """Kill the process with its group if it still runs, and close both descriptors."""
        if self._ended:
            return
        self._ended = True
        try:
            if self._watch.alive:
                await self._kill()
        finally:
            self._client.wait()
            self._watch.close()
            for descriptor in {self.input, self.output} - {-1}:
                os.close(descriptor)
            self.input = self.output = -1
            shutil.rmtree(self._room, ignore_errors=True)

    async def _kill(self) -> None:
        # Killing the runtime's client alone would leave the process in the container alive.
        try:
            async with asyncio.timeout(_ENDING_SECONDS):
                while self._watch.alive and not _pid(self._room):  # noqa: ASYNC110  a file, no event
                    await asyncio.sleep(_STEP_SECONDS)
                self.kill()
                await self._watch.gone()
        except TimeoutError:
            pass
        finally:
            self._watch.kill(signal.SIGKILL)


async def start(command: Sequence[str], files: Files, order: Order, *, detached: bool) -> Process:
    """Run `command` (a runtime's exec) for the container of `files`.

    Raises FailedError (EXEC_FAILED).
    """
    try:
        room = ensure_directory(files.run / "exec") / secrets.token_hex(4)
        room.mkdir(0o700)
        argv = [*command, "--pid-file", str(room / "pid")]
        if detached:
            argv = [sys.executable, "-I", "-S", stay.__file__, *argv[-1:], *argv, "--detach"]
        if order.size is None:
            return _piped([*argv, *what(order, room, exact=not detached)], room)
        return await _on_terminal(argv, order, room, exact=not detached)
    except OSError as error:
        raise FailedError(f"cannot execute: {error}", code="EXEC_FAILED") from error


def document(order: Order) -> bytes:
    """Return the process.json of an exec. Raises UnicodeDecodeError: JSON holds text only."""
    words = [word.decode() for word in order.command]
    process = {**order.process, "args": words, "terminal": order.size is not None}
    if order.size is not None:
        process["consoleSize"] = {"height": order.size.rows, "width": order.size.cols}
    return json.dumps(process).encode()


def what(order: Order, room: Path, *, exact: bool) -> list[str | bytes]:
    """Return the end of the command line: which container, and what to run in it."""
    path = room / "process.json"
    try:
        path.write_bytes(document(order))
    except UnicodeDecodeError as error:
        if not exact:
            raise FailedError(
                "this runtime takes no arguments that are not UTF-8", code="EXEC_FAILED"
            ) from error
        # On the command line crun takes bytes, and the rest from the container's own process.
        terminal = ["--tty"] if order.size is not None else []
        return [*terminal, order.container, *order.command]
    return ["--process", str(path), order.container]


def sweep(run: Path) -> None:
    """Remove what the execs of a daemon that was killed left in RUN."""
    shutil.rmtree(run / "exec", ignore_errors=True)


def _piped(argv: Sequence[str | bytes], room: Path) -> Process:
    input_read, input_write = os.pipe()
    output_read, output_write = os.pipe()
    try:
        client = _spawn(argv, input_read, output_write, output_write)
    except BaseException:
        os.close(input_write)
        os.close(output_read)
        shutil.rmtree(room, ignore_errors=True)
        raise
    finally:
        os.close(input_read)
        os.close(output_write)
    return Process(client, room, input_write, output_read)


async def _on_terminal(argv: Sequence[str], order: Order, room: Path, *, exact: bool) -> Process:
    errors = os.open(room / "errors", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    console = Console(room / "tty")
    try:
        end = what(order, room, exact=exact)
        line = [*argv, "--console-socket", str(room / "tty"), *end]
        client = _spawn(line, subprocess.DEVNULL, subprocess.DEVNULL, errors)
        process = Process(client, room, -1, -1)
        try:
            master = await _first(console, process)
        except BaseException:
            await process.end()
            raise
    finally:
        os.close(errors)
        console.close()
    # runc gives it this size before the command starts, crun a moment after; older ones never do.
    if order.size is not None:
        resize(master, order.size)
    process.input = process.output = master
    return process


async def _first(console: Console, process: Process) -> int:
    """Return the terminal, unless the client ends before there is one."""
    receiving = asyncio.ensure_future(console.receive())
    waiting = asyncio.ensure_future(process.wait())
    either: set[asyncio.Future[int]] = {receiving, waiting}
    try:
        await asyncio.wait(either, timeout=STARTING_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if receiving.done():
            return receiving.result()
        why = b"it did not start in time"
        if waiting.done():
            with contextlib.suppress(OSError):
                why = read_file(process._room / "errors", _ERROR_MAX)  # noqa: SLF001  same module
        raise FailedError(f"cannot execute: {programs.last_line(why)}", code="EXEC_FAILED")
    finally:
        for task in either:
            task.cancel()


def _spawn(
    argv: Sequence[str | bytes], stdin: int, stdout: int, stderr: int
) -> "subprocess.Popen[bytes]":
    client = subprocess.Popen(
        argv,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=programs.ENVIRONMENT,
        cwd="/",
        start_new_session=True,
    )
    # In time: the client has all of its set-up before it when it has only been executed.
    oom.release(client.pid)
    return client


def _pid(room: Path) -> int:
    try:
        return int(read_file(room / "pid", 32))
    except (OSError, ValueError):
        return 0


def _kill_group(pid: int) -> None:
    """Kill process `pid` of which the runtime made a session, with its process group."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)
