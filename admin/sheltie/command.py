"""What is executed on the host: a static shell by descriptor, or a command by the host's PATH."""

from __future__ import annotations

import errno
import posix as os  # all that `os` has of use here, without its 1.3 ms

from contract import places
from contract.errors import FailedError, MachineError, SheltieError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

__all__ = ["CannotExecuteError", "NotFoundOnHostError", "Shell", "environment", "execute"]

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The host's PATH: what systemd and every Debian or Fedora give root."""
PROMPT = r"[root@\h(sheltie)]# "
LOOK_PROMPT = r"[look@\h(sheltie)]$ "
UNTRUSTED = "UNTRUSTED "
LOCALE = ("LANG", "LANGUAGE")


class NotFoundOnHostError(SheltieError):
    """The host has no such command."""

    kind = "NO_COMMAND"
    exit_status = 127  # as every shell says it (POSIX, Shell Command Language, 2.8.2)


class CannotExecuteError(SheltieError):
    """The host has it, and it cannot be executed."""

    kind = "NOT_EXECUTABLE"
    exit_status = 126  # likewise


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Return the clean environment of what runs on the host; only terminal and locale are ours."""
    kept = {
        name: value
        for name, value in ours.items()
        if name == "TERM" or name in LOCALE or name.startswith("LC_")
    }
    return {**kept, "HOME": "/root", "PATH": PATH, "USER": "root", "LOGNAME": "root"}


class Shell:
    """The static shells, opened in the container before the host is entered."""

    __slots__ = ("bash", "busybox")

    def __init__(self, choice: str) -> None:
        """Open what `choice` (auto, bash, busybox) may need. Raises MachineError."""
        self.bash = _open(places.STATIC_SHELL) if choice != "busybox" else -1
        self.busybox = _open(places.STATIC_BUSYBOX) if choice != "bash" else -1
        if self.bash < 0 and self.busybox < 0:
            missing = places.STATIC_BUSYBOX if choice == "busybox" else places.STATIC_SHELL
            raise MachineError(
                f"the static shell {missing} cannot be opened",
                hint="it is part of the admin image",
                code="SHELL_MISSING",
            )

    def descriptors(self) -> tuple[int, ...]:
        """Return what is open, and will be executed."""
        return tuple(one for one in (self.bash, self.busybox) if one >= 0)

    def execute(
        self,
        environ: Mapping[str, str],
        *,
        interactive: bool,
        untrusted: bool = False,
        script: str = "",
    ) -> NoReturn:
        """Become the shell, in the host's namespaces; with `script` run that, and end.

        Raises FailedError (SHELL_FAILED).
        """
        variables = {
            **environ,
            "PS1": (UNTRUSTED if untrusted else "")
            + (PROMPT if environ["USER"] == "root" else LOOK_PROMPT),
            # An empty name: the shell keeps its history to itself, none goes to the host's disk.
            "HISTFILE": "",
            # Else bash asks the host's user database, whose modules a static program may not bear.
            "SHELL": "/bin/sh",
        }
        words = ["-c", script] if script else ["-i"] if interactive else []
        bare = self.busybox >= 0 and not _finds("ls", _machine(self.busybox))
        try:
            if self.bash < 0 or bare:
                if interactive and bare and not script:
                    tell("this host has no ls: you are in busybox, which brings its own tools")
                os.execve(self.busybox, ["sh", *words], variables)
            options = ["--noprofile", "--norc", *words]
            os.execve(self.bash, ["bash", *options], variables)
        except OSError as error:
            raise FailedError(
                f"cannot execute the static shell: {error.strerror}", code="SHELL_FAILED"
            ) from error


def execute(argv: list[str], environ: Mapping[str, str], whose: str = "the host") -> NoReturn:
    """Become the command `argv`. Raises NotFoundOnHostError, CannotExecuteError.

    The files are those of `whose` mount namespace this process stands in.
    """
    name = argv[0]
    denied: OSError | None = None
    for path in [name] if "/" in name else [f"{place}/{name}" for place in PATH.split(":")]:
        try:
            _execute_file(path, argv, environ)
        except (FileNotFoundError, NotADirectoryError) as error:
            if os.access(path, os.F_OK):  # the file is there: its interpreter is not
                denied = denied or error
        except PermissionError as error:
            denied = denied or error
        except OSError as error:
            raise CannotExecuteError(f"{_short(path)}: {error.strerror}") from error
    if denied is None:
        raise NotFoundOnHostError(f"{_short(name)}: {whose} has no such command")
    missing = denied.errno != errno.EACCES
    why = f"{whose} lacks its interpreter" if missing else "permission denied"
    raise CannotExecuteError(f"{_short(name)}: {why}")


def _execute_file(path: str, argv: list[str], environ: Mapping[str, str]) -> NoReturn:
    """Execute one file; a script without an interpreter line goes to the shell, as execvp(3)."""
    try:
        os.execve(path, argv, environ)
    except OSError as error:
        if error.errno != errno.ENOEXEC or _is_program(path):
            raise
    os.execve("/bin/sh", ["sh", path, *argv[1:]], environ)


def _is_program(path: str) -> bool:
    """Whether a file that the kernel cannot execute is a program all the same, of another kind."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123  pathlib costs 10 ms
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def tell(line: str) -> None:
    """Write one line of sheltie's own to standard error."""
    try:
        os.write(2, f"sheltie: {line}\n".encode(errors="backslashreplace"))
    except OSError:
        return  # nobody listens


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _finds(name: str, machine: bytes) -> bool:
    """Whether the host has a program that can run here: a foreign machine's cannot."""
    for place in PATH.split(":"):
        path = f"{place}/{name}"
        if os.access(path, os.X_OK):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return True  # to execute asks for less than to read
            try:
                return _machine(descriptor) in (machine, b"")
            finally:
                os.close(descriptor)
    return False


def _machine(program: int) -> bytes:
    """Return e_machine of an open program (elf(5)), nothing where it is no such program."""
    try:
        head = os.pread(program, 20, 0)
    except OSError:
        return b""
    return head[18:20] if head.startswith(b"\x7fELF") else b""


def _short(name: str) -> str:
    return name if len(name) <= 200 else f"{name[:200]}…"  # noqa: PLR2004  one line for people
