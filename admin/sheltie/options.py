"""The command line: options, then the command, whose own options are never looked at.

By hand, because argparse costs 15 ms and abbreviates options.
"""

from __future__ import annotations

from contract.errors import UsageError

__all__ = ["COPIES", "NAMESPACES", "REPORTS", "Options", "parse"]

SHELLS = ("auto", "bash", "busybox")
LOOKS = ("look", "look-secrets")
NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "cgroup")
"""As /proc/PID/ns names them; each stays out by its own `--no-NAME`."""
TOOLS = frozenset({"mnt", "uts", "cgroup"})
"""What `--tools` leaves out: a tool needs this container's files, and the host's ps, ip, ipcs."""
COPIES = ("get", "put")
"""First words that are ours, as the reports' are."""
ACT = "act"
"""A first word that is ours, likewise."""
PID_DIGITS = 10
_REPORTS = "units logs containers pods netstat files environ stacks firewall disk capture"
LEFTOVERS = "leftovers"
REPORTS = frozenset(_REPORTS.split())
"""First words that are ours, not the host's; behind `--` they are the host's."""


class Options:
    """What the command line asks for; an empty command means a shell."""

    __slots__ = (
        "act",
        "command",
        "copy",
        "left_out",
        "leftovers",
        "look",
        "pod",
        "report",
        "script",
        "shell",
        "show",
        "target",
        "tools",
    )

    def __init__(self) -> None:
        self.command: list[str] = []
        self.script = ""
        """What the static shell runs in place of COMMAND; no option of the command line sets it."""
        self.shell = ""
        self.show = ""
        """`help`, `version` or nothing."""
        self.look = ""
        """`look`, `look-secrets` or nothing, which is root."""
        self.report = False
        """Whether COMMAND is the name of a report of ours, with its arguments."""
        self.act = False
        """Whether COMMAND is `act`, with an action's name and words."""
        self.leftovers = False
        """Whether COMMAND is `leftovers`, with its arguments."""
        self.copy = False
        """Whether COMMAND is `get` or `put`, with two paths."""
        self.tools = False
        self.target = 0
        """A pid; 0 means the host's PID 1."""
        self.pod = ""
        self.left_out: frozenset[str] = frozenset()
        """Of NAMESPACES those that are not entered."""


def parse(arguments: list[str]) -> Options:
    """Parse the arguments behind the program's name. Raises UsageError (SHELTIE_USAGE)."""
    asked = Options()
    position, ended = 0, False
    while position < len(arguments):
        argument = arguments[position]
        if argument == "--":
            position, ended = position + 1, True
            break
        if not argument.startswith("-") or argument == "-":
            break
        position += 1
        name, equals, value = argument.partition("=")
        if name in ("--shell", "--target", "--pod"):
            if not equals:
                value = arguments[position] if position < len(arguments) else ""
                position += 1
            _take(asked, name, value)
        else:
            _flag(asked, argument)
    asked.command = arguments[position:]
    if asked.command and not ended:
        asked.report = asked.command[0] in REPORTS
        asked.copy = asked.command[0] in COPIES
        asked.act = asked.command[0] == ACT
        asked.leftovers = asked.command[0] == LEFTOVERS
    if not asked.show:
        _judge(asked)
    return asked


def _flag(asked: Options, argument: str) -> None:
    name = argument.removeprefix("--")
    if argument in ("-h", "--help"):
        asked.show = asked.show or "help"
    elif argument == "--version":
        asked.show = asked.show or "version"
    elif argument == "--busybox":
        _take(asked, "--shell", "busybox")
    elif argument == "--tools":
        asked.tools = True
    elif name != argument and name in LOOKS:
        asked.look = max(asked.look, name)
    elif name != argument and name.removeprefix("no-") in NAMESPACES and name.startswith("no-"):
        asked.left_out |= {name.removeprefix("no-")}
    else:
        raise _wrong(f"unknown option {argument[:80]!r}")


def _take(asked: Options, name: str, value: str) -> None:
    """Note the option `name` with its value."""
    if name == "--shell":
        if value not in SHELLS:
            raise _wrong(f"--shell must be one of {', '.join(SHELLS)}, not {value[:80]!r}")
        if asked.shell not in ("", value):
            raise _wrong(f"--shell cannot be both {asked.shell} and {value}")
        asked.shell = value
    elif name == "--target":
        digits = value.isascii() and value.isdigit() and len(value) <= PID_DIGITS
        if not digits or not int(value):
            raise _wrong(f"--target takes a process id of the host's, not {value[:80]!r}")
        asked.target = int(value)
    elif not value or value.startswith("-") or not value.isprintable():
        raise _wrong(f"--pod takes the name of a pod or container, not {value[:80]!r}")
    else:
        asked.pod = value


def _judge(asked: Options) -> None:
    """Refuse what contradicts itself."""
    command = asked.command
    if command and not command[0]:
        raise _wrong("COMMAND is empty")
    if asked.shell and command:
        raise _wrong("--shell chooses the shell that runs without COMMAND")
    if asked.tools and (not command or asked.copy or asked.report or asked.act):
        raise _wrong("--tools takes a tool of this container as COMMAND")
    if asked.target and asked.pod:
        raise _wrong("--target and --pod each say where to go: take one")
    elsewhere = asked.target or asked.pod or asked.tools or asked.left_out
    if elsewhere and (asked.look or asked.report or asked.act or asked.leftovers):
        raise _wrong("looks, reports and actions are of the whole host, with all its namespaces")
    if asked.act and asked.look:
        raise _wrong("an action is no look")
    if asked.leftovers and asked.look:
        raise _wrong("to see and undo leftovers is root's")
    if asked.copy:
        _judge_copy(asked)
    if asked.tools:
        asked.left_out |= TOOLS


def _judge_copy(asked: Options) -> None:
    verb, paths = asked.command[0], asked.command[1:]
    most = 2
    if not all(paths) or not (most - (verb == "get") <= len(paths) <= most):
        shape = "get HOSTPATH [LOCAL|-]" if verb == "get" else "put LOCAL|- HOSTPATH"
        raise _wrong(f"sheltie {shape}")
    if asked.look:
        raise _wrong("to copy is root's; a look may read: sheltie --look cat HOSTPATH >LOCAL")
    if "mnt" in asked.left_out:
        raise _wrong("without the host's mount namespace there is nothing to copy")


def _wrong(message: str) -> UsageError:
    return UsageError(message, hint="see sheltie --help", code="SHELTIE_USAGE")
