"""An answer for people: columns on a terminal or in a pipe; or the same as JSON."""

import os
import sys

import msgspec

from admin.report.wire import Table, Text

__all__ = ["as_json", "as_text", "show"]

LAST_WIDTH = 24
"""The least that the last column gets on a narrow terminal."""


def show(told: Table | Text, *, json: bool) -> None:
    """Print an answer; notes go to standard error, out of a pipe's way."""
    if json:
        sys.stdout.write(as_json(told))
        return
    width = os.get_terminal_size(1).columns if sys.stdout.isatty() else 0
    sys.stdout.write("".join(f"{line}\n" for line in as_text(told, width)))
    for note in told.notes:
        sys.stderr.write(f"sheltie: {_plain(note)}\n")


def as_json(told: Table | Text) -> str:
    """Return one object: `rows` by column name, or `lines`, and `notes`."""
    if isinstance(told, Text):
        shown = {"lines": told.lines, "notes": told.notes}
    else:
        rows = [dict(zip(told.columns, row, strict=True)) for row in told.rows]
        shown = {"rows": rows, "notes": told.notes}  # type: ignore[dict-item]
    return msgspec.json.encode(shown).decode() + "\n"


def as_text(told: Table | Text, width: int = 0) -> list[str]:
    """Return the lines for people; cut at `width` where there is one."""
    if isinstance(told, Text):
        return [_plain(line) for line in told.lines]
    table = [[name.upper() for name in told.columns]]
    table += [[_plain(str(cell)) for cell in row] for row in told.rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    shown = []
    for row in table:
        cells = [cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)]
        line = "  ".join(cells).rstrip()
        shown.append(line[:width] if width > LAST_WIDTH else line)
    return shown


def _plain(text: str) -> str:
    """Return text that a terminal only prints: names of files and processes are anybody's."""
    return "".join(
        one if one.isprintable() or one == "\t" else "\N{REPLACEMENT CHARACTER}" for one in text
    )
