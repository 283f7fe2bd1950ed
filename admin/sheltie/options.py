"""The command line: options, then the command, whose own options are never looked at.

By hand, because argparse costs 15 ms and abbreviates options.
"""

from __future__ import annotations

from contract.errors import UsageError

__all__ = ["HELP", "Options", "parse"]

SHELLS = ("auto", "bash", "busybox")

HELP = """\
Usage: sheltie [OPTIONS] [--] [COMMAND [ARGS...]]

Root on the host: a shell, or one command of the host's.

sheltie enters all namespaces of the host's PID 1 (mount, pid, network, IPC, UTS, cgroup). It leaves
nothing there: the shell is a static program of this container, executed by descriptor, and never
appears among the host's files.

  sheltie                          a root shell on the host
  sheltie systemctl status kubelet one command of the host, found by the host's PATH
  sheltie -- ls -l /               the same; `--` ends our options
  sheltie < script.sh              the shell reads its commands from standard input
  sheltie cat /var/log/x | less    pipes, exit codes and signals pass unchanged

Without root, sheltie calls itself by sudo. On a terminal, the shell and commands get a terminal of
the host's own: job control, Ctrl-Z, fg, Ctrl-C and window changes work.

Options (only before COMMAND):
  --shell auto|bash|busybox  which static shell; auto takes busybox, which brings ls, ps, cat and
                             the rest with it, where the host has no ls          [default: auto]
  --version                  print the version
  -h, --help                 print this page

Exit status: that of the shell or the command; a command that died of a signal ends sheltie by the
same signal. 127: the host has no such command; 126: it cannot be executed. sheltie's own errors are
one line on standard error, with a code in brackets, and 2 (usage) or 6 (this container or kernel
lacks something).

This container's own tools see the host's files, read-only, below /.bottlerocket/rootfs.
"""


class Options:
    """What the command line asks for; an empty command means a shell."""

    __slots__ = ("command", "shell", "show")

    def __init__(self, shell: str, command: list[str], show: str) -> None:
        self.shell = shell
        self.command = command
        self.show = show
        """`help`, `version` or nothing."""


def parse(arguments: list[str]) -> Options:
    """Parse the arguments behind the program's name. Raises UsageError (SHELTIE_USAGE)."""
    shell, position, show = "", 0, ""
    while position < len(arguments):
        argument = arguments[position]
        if argument == "--":
            position += 1
            break
        if not argument.startswith("-") or argument == "-":
            break
        position += 1
        name, equals, value = argument.partition("=")
        if argument in ("-h", "--help"):
            show = show or "help"
        elif argument == "--version":
            show = show or "version"
        elif name == "--shell":
            if not equals:
                value = arguments[position] if position < len(arguments) else ""
                position += 1
            shell = _shell(value)
        else:
            raise _wrong(f"unknown option {argument[:80]!r}")
    command = arguments[position:]
    if shell and command and not show:
        raise _wrong("--shell chooses the shell that runs without COMMAND")
    if command and not command[0]:
        raise _wrong("COMMAND is empty")
    return Options(shell or "auto", command, show)


def _shell(value: str) -> str:
    if value not in SHELLS:
        raise _wrong(f"--shell must be one of {', '.join(SHELLS)}, not {value[:80]!r}")
    return value


def _wrong(message: str) -> UsageError:
    return UsageError(message, hint="see sheltie --help", code="SHELTIE_USAGE")
