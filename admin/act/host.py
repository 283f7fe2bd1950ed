"""Programs of the host's, run through sheltie: entered, bounded, in a look where that will do."""

import sys

from admin.report.program import Done, complete

__all__ = ["NO_COMMAND", "run"]

NO_COMMAND = 127
SHELTIE = [sys.executable, "-I", "-m", "admin.sheltie"]


def run(argv: list[str], seconds: int, *options: str) -> Done:
    """Run a command of the host's; `options` are sheltie's own. Raises MachineError."""
    return complete([*SHELTIE, *options, "--", *argv], seconds=seconds)


def report(words: list[str], seconds: int) -> Done:
    """Have a report told, as JSON. Raises MachineError."""
    return complete([*SHELTIE, *words, "--json"], seconds=seconds)
