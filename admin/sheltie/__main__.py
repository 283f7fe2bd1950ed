"""sheltie's entry point: parse, become root, find the host, run."""

from __future__ import annotations

import os
import sys

import contract
from admin.sheltie import command, host, kernel, options
from contract.errors import MachineError, SheltieError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

__all__ = ["main"]

SUDO = "/usr/bin/sudo"
LAUNCHER = "/usr/bin/sheltie"


def main(arguments: list[str] | None = None) -> int:
    """Run sheltie; return an exit status, unless the process became what was asked for."""
    kernel.restore_signals()
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except SheltieError as error:
        command.tell(error.line())
        return error.exit_status
    except OSError as error:
        command.tell(f"{error.strerror} [FAILED]")
        return 1


def _run(arguments: list[str]) -> int:
    asked = options.parse(arguments)
    if asked.show:
        sys.stdout.write(options.HELP if asked.show == "help" else f"{contract.__version__}\n")
        return 0
    kernel.fill_standard_descriptors()
    if os.geteuid():
        _become_root(arguments)
    kernel.withhold()
    if asked.report:
        _report(asked)
    pidfd = host.find()
    shell = None if asked.command else command.Shell(asked.shell)
    environ = command.environment(os.environ)
    terminal = os.isatty(0) and os.isatty(1)
    look = None
    if asked.look:
        from admin.look.confine import Look

        look = Look(secrets=asked.look == "look-secrets")
        environ = look.environment(environ)

    def become() -> NoReturn:
        host.enter(pidfd)
        if look:
            look.confine(shell.descriptors() if shell else (), parent=terminal)
        if shell is None:
            command.execute(asked.command, environ)
        shell.execute(environ, interactive=terminal)

    if not terminal:
        # This process itself becomes the command: its pid, parent, process group and death are
        # then the caller's to see and to signal, and nobody stands between the pipes.
        become()
    return _on_terminal(become, shell=shell is not None)


def _on_terminal(become: Callable[[], NoReturn], *, shell: bool) -> int:
    """Run on a terminal of the host's own; end as the child ended."""
    from admin.sheltie import terminal

    def child() -> NoReturn:
        kernel.restore_signals()
        os._exit(_attempt(become))

    try:
        pty = kernel.open_pty(host.PID_1_ROOT)
    except OSError as error:
        raise MachineError(
            f"cannot open a terminal of the host's: {error.strerror}", code="NO_PTY"
        ) from error
    return terminal.end_as(terminal.run(pty, child, shell=shell))


def _attempt(become: Callable[[], NoReturn]) -> int:
    """Become the command, or say on the new terminal why not; return the exit status."""
    try:
        become()
    except SheltieError as error:
        command.tell(error.line())
        return error.exit_status


def _report(asked: options.Options) -> NoReturn:
    """Execute the reports' own program: they take modules that a prompt cannot wait for."""
    secrets = ["--look-secrets"] if asked.look == "look-secrets" else []
    ours = [sys.executable, "-I", "-m", "admin.report", *secrets]
    os.execv(sys.executable, [*ours, *asked.command])  # noqa: S606  no shell, on purpose


def _become_root(arguments: list[str]) -> NoReturn:
    """Execute ourselves again by sudo. Raises MachineError (NOT_ROOT)."""
    ours = [sys.executable, "-I", "-m", "admin.sheltie"]
    if os.access(LAUNCHER, os.X_OK):
        ours = [LAUNCHER]
    try:
        os.execv(SUDO, ["sudo", "-n", "--", *ours, *arguments])  # noqa: S606  no shell, on purpose
    except OSError as error:
        raise MachineError(
            f"sheltie needs root, and {SUDO} cannot be executed: {error.strerror}",
            hint="call it as root",
            code="NOT_ROOT",
        ) from error


if __name__ == "__main__":
    sys.exit(main())
