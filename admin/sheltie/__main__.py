"""sheltie's entry point: parse, become root, find the host, run."""

from __future__ import annotations

import posix as os  # all that `os` has of use here, without its 1.3 ms
import sys

import contract
from admin.sheltie import command, execution, host, kernel, options
from contract.errors import MachineError, RefusedError, SheltieError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

__all__ = ["guarded", "main", "run"]

SUDO = "/usr/bin/sudo"
LAUNCHER = "/usr/bin/sheltie"


def main(arguments: list[str] | None = None) -> int:
    """Run sheltie; return an exit status, unless the process became what was asked for."""
    words = sys.argv[1:] if arguments is None else arguments
    return guarded(lambda: _run(words))


def guarded(work: Callable[[], int]) -> int:
    """Do `work` with signals as a shell's child has them; an error is a line and a status."""
    kernel.restore_signals()
    try:
        return work()
    except SheltieError as error:
        command.tell(error.line())
        return error.exit_status
    except OSError as error:
        command.tell(f"{error.strerror} [FAILED]")
        return 1


def _run(arguments: list[str]) -> int:
    asked = options.parse(arguments)
    if os.geteuid() and not asked.show:
        kernel.fill_standard_descriptors()
        _become_root(arguments)
    return run(asked)


def run(asked: options.Options) -> int:
    """Do what is asked for, as root; return likewise. Raises SheltieError, OSError."""
    if asked.show:
        _show(asked.show)
        return 0
    kernel.fill_standard_descriptors()
    kernel.withhold()
    if asked.report:
        _report(asked)
    if asked.act:
        host.find()
        _judge_host(shell=False)
        _act(asked)
    if asked.leftovers:
        ours = [sys.executable, "-I", "-m", "admin.ledger.leftovers"]
        os.execv(sys.executable, [*ours, *asked.command[1:]])
    way = _find(asked)
    seen = os.isatty(0) and os.isatty(1) and not asked.command and not asked.script
    untrusted = _judge_host(shell=seen)
    if asked.copy:
        return _copy(asked.command, way)
    execution.join()
    shell = None if asked.command else command.Shell(asked.shell or "auto")
    environ = command.environment(_variables())
    terminal = os.isatty(0) and os.isatty(1)
    look = None
    if asked.look:
        from admin.look.confine import Look

        look = Look(secrets=asked.look == "look-secrets")
        environ = look.environment(environ)

    def become() -> NoReturn:
        way.enter()
        if look:
            look.confine(shell.descriptors() if shell else (), parent=terminal)
        if shell is None:
            command.execute(asked.command, environ, "admin" if asked.tools else "the host")
        shell.execute(environ, interactive=terminal, untrusted=untrusted, script=asked.script)

    # Without the target's files its terminals would have no name: ours is right then.
    if terminal and way.mounts:
        roots = [f"/proc/{way.pid}/root"]
        # A workload, or an empty host, may have no terminals: one of the host's or ours will do.
        roots += [] if look else [f"/proc/{host.PID_1}/root", ""]
        way.adopt_processes()
        return _on_terminal(become, roots, shell=shell is not None)
    if not way.foreign:
        # This process itself becomes the command: its pid, parent, process group and death are then
        # the caller's to see and to signal, and nobody stands between the pipes.
        become()
    return _beside(become, way)


def _variables() -> dict[str, str]:
    """Return our environment, as `os.environ` would tell it."""
    return {
        name.decode(errors="surrogateescape"): value.decode(errors="surrogateescape")
        for name, value in os.environ.items()
    }


def _show(page: str) -> None:
    if page == "version":
        sys.stdout.write(f"{contract.__version__}\n")
        return
    from admin.sheltie.page import HELP

    sys.stdout.write(HELP)


def _find(asked: options.Options) -> host.Way:
    """Return the way that is asked for: the host's PID 1, a process, a pod."""
    if not asked.target and not asked.pod:
        return host.find(asked.left_out)
    pid_1, pid = host.find(), asked.target
    if asked.pod:
        from admin.sheltie import waiting, workload

        def ask(argv: list[str]) -> tuple[int, bytes]:
            def become() -> NoReturn:
                pid_1.enter()
                command.execute(argv, command.environment({}))

            return waiting.answer(_ended(become))

        pid = workload.find(asked.pod, ask)
    return host.Way(pid, asked.left_out)


def _judge_host(*, shell: bool) -> bool:
    """Say in one line how the host is, to whom sits before a shell; whether to mark the prompt.

    Raises RefusedError (HOST_UNTRUSTED) where user-data wishes that.
    """
    from admin.sheltie import userdata

    try:
        wish = userdata.section(b"untrusted").get("untrusted")
    except (OSError, ValueError):
        wish = None  # the keeper's status says so; nobody is locked out by a typing error
    if wish is None and not shell:
        return False
    from admin.sheltie import condition

    found = condition.read()
    doubts = found.doubts() if wish is not None else []
    if doubts and wish != "mark":
        raise RefusedError(
            f"this host is not trusted: {'; '.join(doubts)}",
            hint="admin's user-data says sheltie.untrusted=refuse",
            code="HOST_UNTRUSTED",
        )
    if shell:
        command.tell(found.line() + ("".join(f"; UNTRUSTED: {one}" for one in doubts[:1])))
    return bool(doubts)


def _copy(words: list[str], way: host.Way) -> int:
    from admin.sheltie import transfer

    verb, first, second = words[0], words[1], words[2] if len(words) > 2 else ""  # noqa: PLR2004
    (transfer.get if verb == "get" else transfer.put)(first, second, way.enter)
    return 0


def _on_terminal(become: Callable[[], NoReturn], roots: list[str], *, shell: bool) -> int:
    """Run on a terminal of the first of `roots` that has one; end as the child ended."""
    from admin.sheltie import terminal

    try:
        pty = kernel.open_pty(roots)
    except OSError as error:
        raise MachineError(
            f"cannot open a terminal of the host's: {error.strerror}", code="NO_PTY"
        ) from error
    return terminal.end_as(terminal.run(pty, _ended(become), shell=shell))


def _beside(become: Callable[[], NoReturn], way: host.Way) -> int:
    """Run in a child, which alone can be in a foreign pid namespace; end as it ended."""
    from admin.sheltie import terminal, waiting

    way.adopt_processes()
    return terminal.end_as(waiting.run(_ended(become)))


def _ended(become: Callable[[], NoReturn]) -> Callable[[], NoReturn]:
    """Return `become` for a child, which never returns."""

    def child() -> NoReturn:
        kernel.restore_signals()
        os._exit(_attempt(become))  # noqa: SLF001  its only name

    return child


def _attempt(become: Callable[[], NoReturn]) -> int:
    """Become the command, or say where it would stand why not; return the exit status."""
    try:
        become()
    except SheltieError as error:
        command.tell(error.line())
        return error.exit_status


def _report(asked: options.Options) -> NoReturn:
    """Execute the reports' own program: they take modules that a prompt cannot wait for."""
    secrets = ["--look-secrets"] if asked.look == "look-secrets" else []
    ours = [sys.executable, "-I", "-m", "admin.report", *secrets]
    os.execv(sys.executable, [*ours, *asked.command])


def _act(asked: options.Options) -> NoReturn:
    """Execute the actions' own program; that a login may only look is our word, not its own."""
    look = ["--look"] if asked.look else []
    ours = [sys.executable, "-I", "-m", "admin.act", *look]
    os.execv(sys.executable, [*ours, *asked.command[1:]])


def _become_root(arguments: list[str]) -> NoReturn:
    """Execute ourselves again by sudo. Raises MachineError (NOT_ROOT)."""
    ours = [sys.executable, "-I", "-m", "admin.sheltie"]
    if os.access(LAUNCHER, os.X_OK):
        ours = [LAUNCHER]
    try:
        os.execv(SUDO, ["sudo", "-n", "--", *ours, *arguments])
    except OSError as error:
        raise MachineError(
            f"sheltie needs root, and {SUDO} cannot be executed: {error.strerror}",
            hint="call it as root",
            code="NOT_ROOT",
        ) from error


if __name__ == "__main__":
    sys.exit(main())
