"""The words behind `hostd exec NAME`: options of ours up to the first that is none, then ARGV."""

from collections.abc import Sequence
from dataclasses import dataclass

from contract.errors import UsageError

__all__ = ["ExecLine", "parse"]


@dataclass(frozen=True, slots=True)
class ExecLine:
    """What to run, with a terminal or not, as which user (None: the container's own)."""

    argv: tuple[str, ...]
    tty: bool = False
    user: str | None = None


def parse(words: Sequence[str]) -> ExecLine:
    """Parse `[--tty] [--user USER] [--] ARGV...`. Raises UsageError (EXEC_USAGE).

    The command's own options are never ours: reading ends at the first word that is no option.
    """
    tty, user, rest = False, None, list(words)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        if word == "--":
            break
        if word in {"-t", "--tty"}:
            tty = True
        elif word.startswith("--user="):
            user = word.removeprefix("--user=")
        elif word in {"-u", "--user"} and rest:
            user = rest.pop(0)
        else:
            raise UsageError(f"unknown option {word!r}", code="EXEC_USAGE")
    if not rest:
        raise UsageError(
            "nothing to run", hint="name a command and its arguments", code="EXEC_USAGE"
        )
    return ExecLine(tuple(rest), tty, user)
