"""Names of settings: dotted segments, quoted where one holds a dot (core-kit datastore key.rs).

A name is kept as its canonical text, so that equal names are equal strings.
"""

import re
from collections.abc import Sequence

from contract.errors import UsageError

__all__ = ["LENGTH_MAX", "invalid", "join", "split"]

LENGTH_MAX = 255
"""Longest name in characters, as upstream's datastore has it."""

_BARE = re.compile(r"[A-Za-z0-9_/-]+")
_QUOTED = re.compile(r'"([^"]+)"')


def split(name: str) -> tuple[str, ...]:
    """Return the segments of a dotted name.

    Raises UsageError (KEY_NAME_INVALID) for an empty segment, an unknown character, an open quote.
    """
    if len(name) > LENGTH_MAX:
        raise invalid(f"Key name beyond maximum length {LENGTH_MAX}")
    segments = []
    position = 0
    while True:
        found = _BARE.match(name, position) or _QUOTED.match(name, position)
        if found is None:
            raise invalid(f"Invalid key name at character {position}")
        segment = found.group(found.lastindex or 0)
        if not segment.isprintable():
            raise invalid("Key names hold printable characters only")
        segments.append(segment)
        position = found.end()
        if position == len(name):
            return tuple(segments)
        if name[position] != ".":
            raise invalid(f"Invalid character in key at {position}")
        position += 1


def join(segments: Sequence[str]) -> str:
    """Return the canonical dotted name of segments as `split` returns them."""
    return ".".join(part if _BARE.fullmatch(part) else f'"{part}"' for part in segments)


def invalid(why: str) -> UsageError:
    """Return the error for a name that is none."""
    return UsageError(why, code="KEY_NAME_INVALID")
