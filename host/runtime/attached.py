"""`hostd exec`: a command in a container on our own streams, daemon or not."""

import asyncio
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import termios
import tty as terminal_modes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from contract.durable import ensure_directory, read_file
from contract.errors import FailedError, MachineError, NotFoundError, SheltieError, UsageError
from contract.execwire import Size
from host.runtime import execs, made, programs, users
from host.runtime.entry import FACTS, Facts
from host.runtime.files import Files

__all__ = ["run"]

_FORWARDED: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_CONFIG_MAX: Final = 1 << 20
_CHUNK: Final = 1 << 16


def run(
    state: Path, run: Path, name: str, argv: Sequence[str], *, tty: bool, user: str | None
) -> int:
    """Run `argv` in container `name`; return its exit status, 128+n for signal n.

    Raises NotFoundError (CONTAINER_NOT_RUNNING, NO_USER), MachineError (NOT_ROOT), UsageError
    (NO_TERMINAL), FailedError (EXEC_FAILED).
    """
    if os.geteuid() != 0:
        raise MachineError("exec needs root", hint="run it as root", code="NOT_ROOT")
    files = Files.of(state.absolute(), run.absolute(), name)
    facts, pid = _runtime(files)
    command = [*facts.command(files.run), "exec"]
    name = facts.id_of(files)
    detached = facts.exec_detached
    process = _process(files, pid, user)
    words = tuple(os.fsencode(word) for word in argv)
    if not tty:
        return _plain(command, files, execs.Order(process, words, None, name), exact=not detached)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("there is no terminal here", hint="leave out --tty", code="NO_TERMINAL")
    process = {**process, "env": _with(process["env"], TERM=os.environ.get("TERM", "xterm"))}
    order = execs.Order(process, words, _size(), name)
    return asyncio.run(_on_terminal(command, files, order, detached=detached))


def _runtime(files: Files) -> tuple[Facts, int]:
    """Return the runtime of the running container and the container's first process."""
    known = made.load(files)
    try:
        pid = int(read_file(files.pid, 32))
        os.kill(pid, 0)
    except (OSError, ValueError, SheltieError):
        pid = 0
    if known is None or not pid or known.runtime not in FACTS:
        raise NotFoundError(
            f"container '{files.name}' is not running",
            hint="see: hostd status",
            code="CONTAINER_NOT_RUNNING",
        )
    return FACTS[known.runtime], pid


def _process(files: Files, pid: int, user: str | None) -> dict[str, Any]:
    process: dict[str, Any] = json.loads(read_file(files.config, _CONFIG_MAX))["process"]
    if user is not None:
        who = users.find(pid, user)
        process["user"] = who.document()
        process["env"] = _with(process["env"], HOME=who.home)
        if who.uid:
            # As execve(2) would leave them for another user than root.
            process["capabilities"] |= {"effective": [], "permitted": []}
    return process


def _with(env: Sequence[str], **values: str) -> list[str]:
    kept = [word for word in env if word.partition("=")[0] not in values]
    return [*kept, *(f"{key}={value}" for key, value in values.items())]


def _plain(command: Sequence[str], files: Files, order: execs.Order, *, exact: bool) -> int:
    """Run on our own descriptors; signals that would end us go to the command instead."""
    room = ensure_directory(files.run / "exec") / secrets.token_hex(4)
    room.mkdir(0o700)
    try:
        end = execs.what(order, room, exact=exact)
        client = subprocess.Popen([*command, *end], env=programs.ENVIRONMENT, cwd="/")
        with _forwarding(client):
            status = client.wait()
    except OSError as error:
        raise FailedError(f"cannot execute: {error}", code="EXEC_FAILED") from error
    finally:
        shutil.rmtree(room, ignore_errors=True)
    return status if status >= 0 else 128 - status


@contextmanager
def _forwarding(client: "subprocess.Popen[bytes]") -> Iterator[None]:
    def forward(number: int, _frame: object) -> None:
        client.send_signal(number)

    # INT comes to both from a terminal; it is the command's to heed.
    former = {signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN)}
    former |= {number: signal.signal(number, forward) for number in _FORWARDED}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


async def _on_terminal(
    command: Sequence[str], files: Files, order: execs.Order, *, detached: bool
) -> int:
    """Relay between our terminal, made raw, and one inside."""
    process = await execs.start(command, files, order, detached=detached)
    former = termios.tcgetattr(0)
    loop = asyncio.get_running_loop()
    try:
        terminal_modes.setraw(0, termios.TCSADRAIN)  # what was typed ahead is kept
        loop.add_signal_handler(signal.SIGWINCH, lambda: process.resize(_size()))
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, process.kill)
        relay = _Relay(process.output)
        relay.start()
        status = await process.wait()
        relay.finish()
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, former)
        await process.end()
    return status


class _Relay:
    """Bytes between descriptors 0 and 1 and a terminal's master."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._pending = b""
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """Begin."""
        os.set_blocking(self._master, False)
        self._loop.add_reader(self._master, self._show)
        self._loop.add_reader(0, self._take)

    def finish(self) -> None:
        """Show what is left, and end."""
        while self._show():
            pass
        for descriptor in (0, self._master):
            self._loop.remove_reader(descriptor)
        self._loop.remove_writer(self._master)

    def _show(self) -> bool:
        data = b""
        try:
            data = os.read(self._master, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # EIO: the other side is closed (pty(7))
            pass
        if not data:
            self._loop.remove_reader(self._master)
            return False
        view = memoryview(data)
        while view:
            view = view[os.write(1, view) :]
        return True

    def _take(self) -> None:
        self._pending = os.read(0, _CHUNK)
        self._loop.remove_reader(0)
        if self._pending:
            self._loop.add_writer(self._master, self._put)

    def _put(self) -> None:
        try:
            self._pending = self._pending[os.write(self._master, self._pending) :]
        except BlockingIOError:
            return
        except OSError:
            self._pending = b""
        if not self._pending:
            self._loop.remove_writer(self._master)
            self._loop.add_reader(0, self._take)


def _size() -> Size:
    columns, lines = os.get_terminal_size(1)
    return Size(lines, columns)
