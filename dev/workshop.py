"""A closed room for builds: mounts and processes that are gone when we are, however we end.

One process holds a mount and a pid namespace. It is the pid namespace's first process and reads a
pipe of ours: when we end, it ends, and the kernel ends all the others with it (pid_namespaces(7)).
"""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from contract.errors import FailedError, MachineError

__all__ = ["Report", "Workshop", "alone", "need_programs", "need_room", "need_root"]

Report = Callable[[str], None]
"""Told in a few words what is being done; called often."""

REMEMBERED_LINES = 40
CLOSE_SECONDS = 5.0
NO_ROOM = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
NO_NETWORK = re.compile(
    r"could ?n.t (resolve|connect)|could not (resolve|connect)|temporary failure in name"
    r"|failed to fetch|failed to establish a new connection|network is unreachable"
    r"|unable to connect|connection timed out|certificate verify failed",
    re.IGNORECASE,
)
ERROR = re.compile(r"(E|error|fatal)\b:?", re.IGNORECASE)
TELLING = re.compile(r"error|fail|refus|cannot", re.IGNORECASE)


class Workshop:
    """Runs programs in a room of its own; `scratch` is a directory that only they see filled."""

    def __init__(self, holder: "subprocess.Popen[bytes]", scratch: Path) -> None:
        self._holder = holder
        self.scratch = scratch

    @classmethod
    @contextlib.contextmanager
    def opened(cls, scratch: Path, keep: Sequence[Path]) -> Iterator["Workshop"]:
        """Open the room; `keep` are the paths that must stay visible in it.

        Raises MachineError without root, or where the kernel refuses namespaces.
        """
        need_root()
        need_programs("nsenter")
        scratch.mkdir(parents=True, exist_ok=True)
        kept = any(path.resolve().is_relative_to("/var/lib") for path in (scratch, *keep))
        hide = "keep" if kept else "hide"
        argv = [sys.executable, "-I", "-m", "dev.room", str(scratch), hide]
        with subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as holder:
            workshop = cls(holder, scratch)
            try:
                _await_ready(holder)
                yield workshop
            finally:
                workshop.close()

    def close(self) -> None:
        """End the room; when its first process is gone, the kernel has ended all the others."""
        if self._holder.stdin:
            self._holder.stdin.close()
        try:
            self._holder.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._holder.kill()  # takes the first process along (dev.room)

    def storage_driver(self, directory: Path) -> str:
        """Return the engines' storage driver for this disk: not every one can carry an overlay."""
        for name in ("lower", "upper", "work", "merged"):
            (directory / name).mkdir()
        layers = ",".join(f"{name}dir={directory / name}" for name in ("lower", "upper", "work"))
        argv = ["mount", "-t", "overlay", "-o", layers, "trial", str(directory / "merged")]
        try:
            self.run(argv, what="an overlay")
            self.run(["umount", str(directory / "merged")], what="an overlay")
        except FailedError:
            return "vfs"
        return "overlay"

    def run(
        self,
        argv: Sequence[str],
        *,
        hear: Report = lambda _: None,
        env: Mapping[str, str] | None = None,
        what: str,
    ) -> list[str]:
        """Run a program in the room and return its last lines; `hear` gets each line at once.

        Raises MachineError for lack of room or network, FailedError otherwise, naming `what`.
        """
        pid = self._holder.pid
        enter = ["nsenter", f"--mount=/proc/{pid}/ns/mnt", f"--pid=/proc/{pid}/ns/pid_for_children"]
        # setns(2) leaves a chroot and the working directory behind.
        enter += [f"--root=/proc/{pid}/root", f"--wd=/proc/{pid}/root"]
        with subprocess.Popen(
            [*enter, "--", *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            start_new_session=True,
            text=True,
            errors="replace",
        ) as process:
            try:
                lines = _listen(process, hear)
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise failure(what, lines)
        return lines


@contextlib.contextmanager
def alone(path: Path, report: Report) -> Iterator[None]:
    """Hold the lock file: one storage, one builder."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another build")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def failure(what: str, lines: Sequence[str]) -> FailedError | MachineError:
    """Return the error that a failed program's last lines speak of."""
    text = "\n".join(lines)
    if NO_ROOM.search(text):
        hint = "free some room, or point XDG_CACHE_HOME to a larger disk"
        return MachineError(f"{what}: no space left on the disk", hint=hint, code="NO_ROOM")
    offline = next((line.strip() for line in lines if NO_NETWORK.search(line)), "")
    if offline:
        hint = "check the network, the proxy settings and the package mirror, and run it again"
        return MachineError(f"{what}: {offline}", hint=hint, code="NO_NETWORK")
    said = [line.strip() for line in lines if line.strip()] or ["no output"]
    telling = [line for line in said if ERROR.match(line)]
    last = (telling or [line for line in said if TELLING.search(line)] or said)[-1]
    return FailedError(
        f"{what}: {last}", hint="SHELTIE_BUILD_LOG=FILE keeps all output", code="BUILD_FAILED"
    )


def need_root() -> None:
    """Raise MachineError when not root."""
    if os.geteuid() != 0:
        raise MachineError("this needs root", hint="use sudo", code="NOT_ROOT")


def need_programs(*names: str) -> None:
    """Raise MachineError for the first program that is not on the PATH."""
    for name in names:
        if not shutil.which(name):
            raise MachineError(
                f"{name} is not installed", hint="make setup installs it", code="PROGRAM_MISSING"
            )


def need_room(directory: Path, size: int, way_out: str = "") -> None:
    """Raise MachineError when the disk of `directory` has less than `size` bytes free."""
    free = shutil.disk_usage(directory).free
    if free < size:
        raise MachineError(
            f"{directory} has {free // 2**20} MiB free and {size // 2**20} are needed",
            hint=f"free some room there{way_out}",
            code="NO_ROOM",
        )


def _await_ready(holder: "subprocess.Popen[bytes]") -> None:
    if holder.stdout is None:  # for the type checker: it is a pipe
        raise AssertionError
    line = holder.stdout.readline().decode(errors="replace").strip()
    if line != "ready":
        raise MachineError(
            f"no namespaces for building: {line or 'no reason given'}",
            hint="root needs CAP_SYS_ADMIN and a kernel with mount and pid namespaces",
            code="KERNEL_LACKS",
        )


def _listen(process: "subprocess.Popen[str]", hear: Report) -> list[str]:
    kept: list[str] = []
    errors: list[str] = []
    log = os.environ.get("SHELTIE_BUILD_LOG")
    with contextlib.ExitStack() as stack:
        copy = stack.enter_context(Path(log).open("a")) if log else None
        for line in process.stdout or ():
            if copy:
                copy.write(line)
            text = line.rstrip("\n")
            kept = [*kept[1 - REMEMBERED_LINES :], text]
            errors += [text] if ERROR.match(text) else []
            hear(line.strip())
    return [*errors[-REMEMBERED_LINES:], *kept]
