"""What proc(5) tells of one process to those who may ask: open files, environment, stacks."""

import os
from collections.abc import Iterator

from admin.report.wire import Table
from contract.errors import FailedError, NotFoundError

__all__ = ["environ", "files", "stacks"]

FILE_MAX = 16 << 20


def files(pid: int) -> Table:
    """Return what a process has open: descriptors, directories, mapped files."""
    rows: list[list[str | int]] = [
        [name, "", _link(f"/proc/{pid}/{name}")] for name in ("cwd", "root", "exe")
    ]
    for name in sorted(_names(pid, "fd"), key=int):
        about = dict(_fields(f"/proc/{pid}/fdinfo/{name}"))
        rows.append([name, _mode(about.get("flags", "0")), _link(f"/proc/{pid}/fd/{name}")])
    mapped = {line.split(None, 5)[5] for line in _lines(pid, "maps") if line.count("/")}
    rows += [["mem", "", path] for path in sorted(mapped)]
    return Table(["descriptor", "mode", "file"], rows)


def environ(pid: int, *, values: bool) -> Table:
    """Return the environment that a process was started with."""
    rows: list[list[str | int]] = []
    for one in _read(pid, "environ").split(b"\0"):
        name, equals, value = one.decode(errors="backslashreplace").partition("=")
        if equals:
            rows.append([name, value] if values else [name])
    note = [] if values else ["values: sheltie --look-secrets environ PID"]
    return Table(["name", "value"] if values else ["name"], rows, note)


def stacks(pid: int) -> Table:
    """Return for each thread its state and the kernel functions that it stands in."""
    rows: list[list[str | int]] = []
    for task in sorted(_names(pid, "task"), key=int):
        about = dict(_fields(f"/proc/{pid}/task/{task}/status"))
        said = _try(f"/proc/{pid}/task/{task}/stack").decode().splitlines()
        frames = [line.split("] ", 1)[-1] for line in said]
        state = about.get("State", "")
        rows.append([int(task), about.get("Name", ""), state, " < ".join(frames) or "in user mode"])
    return Table(["thread", "name", "state", "stack"], rows)


def _names(pid: int, directory: str) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/{directory}")  # noqa: PTH208  names are enough
    except OSError as error:
        raise _unreadable(pid, error) from error


def _lines(pid: int, name: str) -> list[str]:
    return _read(pid, name).decode(errors="replace").splitlines()


def _read(pid: int, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:  # noqa: PTH123  not a path of somebody's
            return file.read(FILE_MAX)
    except OSError as error:
        raise _unreadable(pid, error) from error


def _try(path: str) -> bytes:
    """Read what may be gone by now, or be nothing."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123  likewise
            return file.read(FILE_MAX)
    except OSError:
        return b""


def _fields(path: str) -> Iterator[tuple[str, str]]:
    for line in _try(path).decode(errors="replace").splitlines():
        name, _, value = line.partition(":")
        yield name, value.strip()


def _link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115  likewise
    except OSError as error:
        return f"({error.strerror})"


def _mode(flags: str) -> str:
    return ("r", "w", "rw", "")[int(flags, 8) & os.O_ACCMODE]


def _unreadable(pid: int, error: OSError) -> NotFoundError | FailedError:
    if isinstance(error, FileNotFoundError | ProcessLookupError):
        return NotFoundError(
            f"the host has no process {pid}", hint="see `sheltie ps -ef`", code="NO_PROCESS"
        )
    return FailedError(f"process {pid}: {error.strerror}", code="REPORT_PROCESS")
