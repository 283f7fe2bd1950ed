"""Undoing what is left: which change can be undone safely, and how. One step each, checked first.

Files are never undone: what was in them is not kept. What changed again since is left alone.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from admin.end.members import look
from admin.ledger import parse
from admin.ledger.tables import Change
from admin.sheltie import host, kernel
from contract.errors import ConflictError, FailedError, SheltieError

__all__ = ["Step", "step"]

UMOUNT_NOFOLLOW = 8
GRACE_SECONDS = 2.0
COMMAND_SECONDS = 60
SYS_DELETE_MODULE = {"x86_64": 176, "aarch64": 106}

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Step:
    """What would be done, as people read it; `run` raises SheltieError or OSError."""

    text: str
    run: Callable[[], None]


def step(change: Change) -> Step | None:
    """Return how a change is undone, or None where that is not safe."""
    name = change.name
    match change.table, change.what:
        case "mount", "added":
            return Step(f"unmount {name}", lambda: _on_host(lambda: _unmount(name, change.after)))
        case "sysctl", "changed":
            text = f"set {name} to {change.before} again"
            return Step(text, lambda: _on_host(lambda: _write_sysctl(change)))
        case "module", "added":
            return Step(f"unload module {name}", lambda: _unload(name))
        case "unit", "added":
            argv = ["systemctl", "stop", "--", name]
            return Step(f"stop unit {name}", lambda: _command(argv))
        case "deputy", "left running":
            return Step(f"run `{change.after}` on the host", lambda: _command(change.after.split()))
        case "process", "left running":
            pid, started = int(name.split()[0]), int(change.after)
            return Step(f"end process {name}", lambda: _end(pid, started))
    return None


def _unmount(point: str, expected: str) -> None:
    """Unmount what the session mounted; not what somebody mounted over it since."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="backslashreplace") as file:  # noqa: PTH123
        there = [one.value for one in parse.mounts(file.read()) if one.point == point]
    if there[-1:] != [expected]:
        raise ConflictError(f"{point} has another mount now", code="LEFTOVER_CHANGED")
    if _libc.umount2(os.fsencode(point), UMOUNT_NOFOLLOW):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _write_sysctl(change: Change) -> None:
    path = f"/proc/sys/{change.name}"
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        now = " ".join(os.read(descriptor, 1 << 16).decode(errors="backslashreplace").split())
        if now != change.after:
            raise ConflictError(f"{change.name} is {now} by now", code="LEFTOVER_CHANGED")
        os.pwrite(descriptor, change.before.encode() + b"\n", 0)
    finally:
        os.close(descriptor)


def _unload(name: str) -> None:
    """Unload a module that nobody uses; one in use is refused by the kernel (delete_module(2))."""
    number = SYS_DELETE_MODULE[os.uname().machine]
    if _libc.syscall(number, name.encode(), os.O_NONBLOCK):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _end(pid: int, started: int) -> None:
    """Ask a process to end, then kill it; never another that has its pid by now."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        known = look(pid)
        if known is None or known.started != started:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(pidfd, number)
            if select.select([pidfd], [], [], GRACE_SECONDS)[0]:
                return
        raise FailedError(f"process {pid} does not end", code="LEFTOVER_STAYS")
    except ProcessLookupError:
        return
    finally:
        os.close(pidfd)


def _command(argv: list[str]) -> None:
    """Run a command of the host's, by sheltie, as a person would. Raises FailedError."""
    ours = [sys.executable, "-I", "-m", "admin.sheltie", "--", *argv]
    try:
        done = subprocess.run(
            ours,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=False,
            timeout=COMMAND_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise FailedError(f"`{' '.join(argv)}` does not end", code="LEFTOVER_STAYS") from error
    if done.returncode:
        raise FailedError(
            f"`{' '.join(argv)}` ended with status {done.returncode}", code="LEFTOVER_STAYS"
        )


def _on_host(work: Callable[[], None]) -> None:
    """Do `work` in a child that stands in the host's namespaces. Raises SheltieError."""
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        line = "failed"
        try:
            os.close(told)
            pidfd = host.find().pidfd
            kernel.setns(
                pidfd,
                kernel.CLONE_NEWNS
                | kernel.CLONE_NEWNET
                | kernel.CLONE_NEWIPC
                | kernel.CLONE_NEWUTS,
            )
            os.chdir("/")
            os.close(pidfd)
            work()
            line = ""
        except SheltieError as error:
            line = error.message
        except OSError as error:
            line = error.strerror or str(error)
        finally:
            os.write(tell, line.encode(errors="backslashreplace"))
            os._exit(0)
    os.close(tell)
    with os.fdopen(told, "rb") as file:
        line = file.read().decode()
    os.waitpid(child, 0)
    if line:
        raise FailedError(line, code="LEFTOVER_STAYS")
