"""The command line: options, then the command, whose own options are never looked at.

By hand, because argparse costs 15 ms and abbreviates options.
"""

from __future__ import annotations

from contract.errors import UsageError

__all__ = ["HELP", "REPORTS", "Options", "parse"]

SHELLS = ("auto", "bash", "busybox")
LOOKS = ("look", "look-secrets")
_REPORTS = "units logs containers pods netstat files environ stacks firewall disk capture"
REPORTS = frozenset(_REPORTS.split())
"""First words that are ours, not the host's; behind `--` they are the host's."""

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

To read is enough? These change nothing, and the kernel sees to it:

  sheltie --look                   a shell that can read the host, and change nothing
  sheltie --look less /var/log/syslog
  sheltie netstat                  a report: units, logs UNIT, containers, pods, netstat, files PID,
                                   environ PID, stacks PID, firewall, disk, capture; each has --help
  sheltie -- netstat               the host's command of that name

Options (only before COMMAND):
  --look                     as an unprivileged uid of its own, all read-only, secrets covered
  --look-secrets             the same with secrets uncovered; for `environ`, with the values
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

    __slots__ = ("command", "look", "report", "shell", "show")

    def __init__(
        self, shell: str, command: list[str], show: str, look: str = "", *, report: bool = False
    ) -> None:
        self.shell = shell
        self.command = command
        self.show = show
        """`help`, `version` or nothing."""
        self.look = look
        """`look`, `look-secrets` or nothing, which is root."""
        self.report = report
        """Whether COMMAND is the name of a report of ours, with its arguments."""


def parse(arguments: list[str]) -> Options:
    """Parse the arguments behind the program's name. Raises UsageError (SHELTIE_USAGE)."""
    shell, position, show, look, ended = "", 0, "", "", False
    while position < len(arguments):
        argument = arguments[position]
        if argument == "--":
            position, ended = position + 1, True
            break
        if not argument.startswith("-") or argument == "-":
            break
        position += 1
        name, equals, value = argument.partition("=")
        if argument in ("-h", "--help"):
            show = show or "help"
        elif argument == "--version":
            show = show or "version"
        elif argument.removeprefix("--") in LOOKS:
            look = max(look, argument.removeprefix("--"))
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
    report = bool(command) and not ended and command[0] in REPORTS
    return Options(shell or "auto", command, show, look, report=report)


def _shell(value: str) -> str:
    if value not in SHELLS:
        raise _wrong(f"--shell must be one of {', '.join(SHELLS)}, not {value[:80]!r}")
    return value


def _wrong(message: str) -> UsageError:
    return UsageError(message, hint="see sheltie --help", code="SHELTIE_USAGE")
