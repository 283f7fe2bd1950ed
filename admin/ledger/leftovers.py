"""`sheltie leftovers`: what sessions changed and is still there; `--undo` ends or undoes it.

Executed by `python -I -m admin.ledger.leftovers`, as root in admin.
"""

import sys

import msgspec

from admin.ledger import client
from admin.ledger.messages import Done, Leftover
from admin.ledger.undo import Step, step
from admin.outcome import outcome
from contract.errors import FailedError, SheltieError, UsageError

__all__ = ["main"]

USAGE = "sheltie leftovers [--json] [--undo [NUMBER…] [--yes]]"


class Wish(msgspec.Struct, frozen=True):
    """What the command line asks for."""

    json: bool = False
    undo: bool = False
    yes: bool = False
    numbers: frozenset[int] = frozenset()


def main() -> int:
    """Show what is left, and undo it if asked to; return the exit status."""
    return outcome(_run)


def _run() -> int:
    wish = parse(sys.argv[1:])
    found, done = client.leftovers()
    if wish.undo:
        return _undo(wish, found)
    _show(wish, found, done)
    if done.failed:
        raise FailedError(done.failed, code="SNAPSHOT_FAILED")
    return 0


def parse(words: list[str]) -> Wish:
    """Return what the words ask for. Raises UsageError (SHELTIE_USAGE)."""
    options = {word for word in words if word.startswith("-")}
    numbers = [word for word in words if not word.startswith("-")]
    wish = Wish(
        "--json" in options,
        "--undo" in options,
        "--yes" in options,
        frozenset(int(one) for one in numbers if one.isascii() and one.isdigit()),
    )
    odd = options - {"--json", "--undo", "--yes"} or len(wish.numbers) != len(set(numbers))
    if odd or ((wish.yes or numbers) and not wish.undo) or (wish.json and wish.undo):
        raise UsageError(f"it is: {USAGE}", hint="see sheltie --help", code="SHELTIE_USAGE")
    return wish


def _show(wish: Wish, found: list[Leftover], done: Done) -> None:
    if wish.json:
        rows = [
            {
                "number": number,
                "session": one.key,
                "user": one.user,
                "ended": one.ended,
                **msgspec.to_builtins(one.change),
                "whose": one.change.whose,
                "undo": undo.text if (undo := step(one.change)) else None,
            }
            for number, one in enumerate(found, 1)
        ]
        shown = {"leftovers": rows, "unseen": done.unseen}
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
        return
    last = ""
    for number, one in enumerate(found, 1):
        head = f"{one.key} of {one.user or 'root'}, ended {one.ended}"
        if head != last:
            sys.stdout.write(f"{_plain(head)}\n")
            last = head
        undo = step(one.change)
        can = f"; --undo would {undo.text}" if undo else ""
        sys.stdout.write(f"{number:5}  {_plain(one.change.line() + can)}\n")
    if not found:
        sys.stdout.write("nothing that a session changed is left\n")
    for what in done.unseen:
        sys.stderr.write(f"sheltie: not seen: {_plain(what)}\n")


def _undo(wish: Wish, found: list[Leftover]) -> int:
    """Undo the newest first, each after a question; return the exit status."""
    unknown = wish.numbers - set(range(1, len(found) + 1))
    if unknown:
        raise UsageError(
            f"there is no leftover {min(unknown)}", hint=f"it is: {USAGE}", code="SHELTIE_USAGE"
        )
    status = 0
    for number, one in reversed(list(enumerate(found, 1))):
        undo = step(one.change)
        # What may be the host's own work is touched only by who named it, or was asked about it.
        sure = one.change.whose == "session" or not wish.yes
        if number in wish.numbers if wish.numbers else sure and undo is not None:
            status |= _do(number, one, undo, yes=wish.yes)
    return status


def _do(number: int, one: Leftover, undo: Step | None, *, yes: bool) -> int:
    if undo is None:
        sys.stdout.write(
            f"{number}: {_plain(one.change.line())}: not undone, look at it yourself\n"
        )
        return 1
    if not yes and not _agreed(f"{number}: {one.change.line()}: {undo.text}?"):
        return 0
    try:
        undo.run()
    except SheltieError as error:
        sys.stderr.write(f"sheltie: {number}: {_plain(error.line())}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"sheltie: {number}: cannot {_plain(undo.text)}: {error.strerror}\n")
        return 1
    sys.stdout.write(f"{number}: done: {_plain(undo.text)}\n")
    return 0


def _agreed(question: str) -> bool:
    """Ask; only a yes is one. Raises UsageError (NOT_ASKED) where nobody can answer."""
    if not sys.stdin.isatty():
        raise UsageError(
            "there is no terminal to ask on", hint="--yes undoes without asking", code="NOT_ASKED"
        )
    sys.stdout.write(f"{_plain(question)} [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _plain(text: str) -> str:
    """Return text that a terminal only prints: names of files are anybody's."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


if __name__ == "__main__":
    sys.exit(main())
