"""Start the shell, the command or the subsystem as the login user, in a session of its own."""

import contextlib
import fcntl
import os
import signal
import sys
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from admin.end import proc
from admin.session.account import Account

__all__ = ["SUBSYSTEMS", "Program", "start"]

SUBSYSTEMS = {"sftp": "/usr/lib/openssh/sftp-server"}
LOOK = "admin.sheltie.login"
MOTD = Path("/etc/motd")
OOM_SCORE = "/proc/self/oom_score_adj"
NOT_EXECUTABLE = 126
ROOT = Account("root", 0, 0, (), "/", "")
"""Who begins a look; not an account of the machine's, whose groups could be many."""


@dataclass(frozen=True)
class Program:
    """What to execute, and whether it is an interactive login, which is greeted."""

    path: str
    argv: Sequence[bytes | str]
    greeted: bool = False
    confined: bool = False
    """Whether it is a program of ours, which begins as root to give up everything but a look."""

    @classmethod
    def shell(cls, account: Account, *, tty: bool) -> "Program":
        """The login shell: argv[0] starts with a dash (login(1))."""
        return cls(account.shell, [f"-{Path(account.shell).name}"], greeted=tty)

    @classmethod
    def command(cls, account: Account, command: bytes) -> "Program":
        """A command, by the login shell's -c (RFC 4254 section 6.5)."""
        return cls(account.shell, [Path(account.shell).name, "-c", command])

    @classmethod
    def look(cls, what: str, command: bytes = b"", *, tty: bool = False) -> "Program":
        """What a login that may only look gets: `what` is shell, command or a subsystem."""
        argv: list[bytes | str] = [sys.executable, "-I", "-m", LOOK, what, command]
        return cls(sys.executable, argv, greeted=tty, confined=True)


def start(
    program: Program,
    account: Account,
    variables: Mapping[str, str],
    descriptors: tuple[int, int, int],
    *,
    tty: bool,
    last: str = "",
) -> int:
    """Fork and execute; return the pid. Descriptors become 0, 1 and 2 of the program.

    `last` is what an interactive login is told of the one before it.
    """
    pid = os.fork()
    if pid:
        return pid
    try:
        _become(ROOT if program.confined else account, descriptors, tty=tty)
        if program.greeted:
            _greet(last, None if program.confined else account)
        os.execve(program.path, list(program.argv), dict(variables))  # noqa: S606
    except OSError as error:
        os.write(2, f"sheltie: {program.path}: {error.strerror}\n".encode())
    finally:
        _leave()


def _leave() -> NoReturn:
    os._exit(NOT_EXECUTABLE)


def _become(account: Account, descriptors: tuple[int, int, int], *, tty: bool) -> None:
    os.setsid()
    for target, source in enumerate(descriptors):
        os.dup2(source, target)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    if tty:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    # Python ignores these two, and an ignored signal stays ignored over exec.
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    _be_mortal()
    if not os.geteuid():
        os.setgroups(account.groups)
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)
    os.umask(0o022)
    try:
        os.chdir(account.home)
    except OSError:
        os.chdir("/")


def _be_mortal() -> None:
    """Give up the shield of admin's first process: who eats the memory is who shall die.

    While still root: what changed its uid may not open its own file. To raise it needs no right.
    """
    with contextlib.suppress(OSError, ValueError):  # no such file here: a login all the same
        if int(proc.read(OOM_SCORE)) < 0:
            proc.write(OOM_SCORE, b"0")


def _greet(last: str, account: Account | None) -> None:
    """Tell of the last login, then the motd: sshd's order; a ~/.hushlogin keeps both away.

    A look has no home, and its own words in place of the motd.
    """
    if account is not None and (Path(account.home) / ".hushlogin").exists():
        return
    if last:
        sys.stdout.write(f"Last login: {last}\n")
    if account is not None and MOTD.is_file():
        sys.stdout.write(MOTD.read_text(errors="replace"))
    sys.stdout.flush()
