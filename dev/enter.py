"""Run a command on a stand-in host: join its cgroups first, then its namespaces.

`python -I -m dev.enter --record FILE -- COMMAND…`. Standard input, output, error, the terminal, the
exit code and signals are the command's own.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from contract.errors import MachineError, NotFoundError, SheltieError
from dev import cgroups, kernel
from dev.standin import load

__all__ = ["enter"]

NAMESPACES = (
    kernel.CLONE_NEWNS
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWCGROUP
    | kernel.CLONE_NEWNET
)
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)


def enter(record: Path, argv: list[str]) -> int:
    """Run `argv` on the stand-in that `record` remembers; return its exit status.

    Raises NotFoundError when it does not run, MachineError when it cannot be entered.
    """
    try:
        known = load(record)
        descriptor = os.pidfd_open(known.pid)
    except (FileNotFoundError, ProcessLookupError, OSError) as error:
        raise NotFoundError(
            f"no stand-in host runs ({record})", hint="start it with: make up", code="NO_STANDIN"
        ) from error
    try:
        cgroups.enter(known.cgroups)
        kernel.setns(descriptor, NAMESPACES)
        os.chdir("/")
    except OSError as error:
        raise MachineError(f"cannot enter the stand-in: {error}", code="ENTER_FAILED") from error
    pid = os.fork()  # the pid namespace holds for children only
    if not pid:
        _execute(argv)
    for number in FORWARDED:
        signal.signal(number, lambda number, _frame: os.kill(pid, number))
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _execute(argv: list[str]) -> None:
    kernel.die_with_parent(signal.SIGKILL)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores both
    try:
        os.execvp(argv[0], argv)  # noqa: S606  no shell in between
    except OSError as error:
        os.write(2, f"enter: {argv[0]}: {error.strerror}\n".encode())
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def main() -> int:
    """Parse the command line and run; return the exit status, 128+n for signal n."""
    parser = argparse.ArgumentParser(prog="enter", description=__doc__)
    parser.add_argument("--record", type=Path, required=True, help="the stand-in's record")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="COMMAND and its arguments")
    arguments = parser.parse_args()
    argv = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not argv:
        parser.error("no command")
    try:
        status = enter(arguments.record, argv)
    except SheltieError as error:
        print(f"enter: {error.line()}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:  # before there was a command to hand it on to
        return 130
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
