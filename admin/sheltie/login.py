"""What a login runs that may only look, in place of a login shell: a look, whatever it asks for.

`python -I -m admin.sheltie.login WHAT COMMAND`, started by the session process, as root. WHAT is
`shell`, `command` or a subsystem; COMMAND is the client's own line, which says what is run inside
the look, and nothing else. One word in it is ours: `sheltie` itself, as far as a look may go.
"""

from __future__ import annotations

import posix as os  # all that `os` has of use here, without its 1.3 ms
import sys

from admin.sheltie import command, options
from admin.sheltie.__main__ import guarded, run
from contract.errors import MachineError, RefusedError, UsageError

__all__ = ["judge", "main"]

OURS = "sheltie"
LOOKS = frozenset({"act", "command", "look", "report", "shell", "show"})
"""Of the options those that a look may set; which acts are open to it they know themselves."""
ROOTS = {"copy": "to copy", "left_out": "--no-…"}
ROOTS |= {name: f"--{name}" for name in ("look-secrets", "pod", "target", "tools")}
"""How people know the others."""
GREETING = (
    "you can read this host, and change nothing; `exit` leaves",
    "for reports ask from outside: ssh … sheltie netstat; `ssh … sheltie --help` lists them",
)


def main(arguments: list[str]) -> int:
    """Run what the client asks for; return an exit status, unless the process became it."""
    return guarded(lambda: _run(*arguments))


def _run(what: str, line: str) -> int:
    if os.geteuid():
        raise MachineError(
            "no look without root: whoever starts this server is not", code="NOT_ROOT"
        )
    if what not in ("shell", "command"):
        raise RefusedError(
            f"this login may only look, and has no {what}",
            hint="read a file by: ssh HOST cat PATH",
            code="LOOK_ONLY",
        )
    if what == "shell" and os.isatty(0) and os.isatty(1):
        for words in GREETING:
            command.tell(words)
    return run(judge(line if what == "command" else ""))


def judge(line: str) -> options.Options:
    """Return what a client's line means where it may only look; an empty one is a shell.

    Raises UsageError (SHELTIE_USAGE), RefusedError (LOOK_ONLY).
    """
    asked = options.Options()
    if _first(line) == OURS:
        asked = options.parse(_words(line)[1:])
        _refuse_more(asked)
    else:
        asked.script = line
    asked.look = "look"
    return asked


def _refuse_more(asked: options.Options) -> None:
    """Refuse what is root's: whatever is asked for that is not known here to be a look's."""
    usual = options.Options()
    wanted = [
        name
        for name in options.Options.__slots__
        if name not in LOOKS and getattr(asked, name) != getattr(usual, name)
    ]
    if asked.look == "look-secrets":
        wanted.append(asked.look)
    if wanted:
        what = ROOTS.get(wanted[0], f"sheltie {wanted[0]}")
        raise RefusedError(f"this login may only look: {what} is root's", code="LOOK_ONLY")


def _first(line: str) -> str:
    words = line.split(maxsplit=1)
    return words[0] if words else ""


def _words(line: str) -> list[str]:
    """Return the words as a shell would: here no shell stands between. Raises UsageError."""
    import shlex

    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(
            f"{OURS} is given a line that is none: {error}", code="SHELTIE_USAGE"
        ) from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
