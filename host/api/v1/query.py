"""Reading numbers and switches out of a query."""

import math

from contract.errors import UsageError
from host.api.message import Call

__all__ = ["number", "seconds", "switch"]


def number(text: str | None, name: str, default: int, most: int) -> int:
    """Return a whole number from 0 to `most`. Raises UsageError (INPUT_INVALID)."""
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most))) or int(text) > most:
        raise UsageError(f"Input '{name}' must be a number up to {most}", code="INPUT_INVALID")
    return int(text)


def seconds(text: str | None, name: str, default: float, most: float) -> float:
    """Return seconds from 0 to `most`. Raises UsageError (INPUT_INVALID)."""
    if text is None:
        return default
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found <= most:
        raise UsageError(f"Input '{name}' must be seconds up to {most:g}", code="INPUT_INVALID")
    return found


def switch(call: Call, name: str) -> bool:
    """Return whether a switch is on: `name=true`. Raises UsageError (INPUT_INVALID)."""
    text = call.query.get(name, "false")
    if text not in {"true", "false"}:
        raise UsageError(f"Input '{name}' must be true or false", code="INPUT_INVALID")
    return text == "true"
