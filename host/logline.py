"""The daemon's log: one event per line as key=value, safe to read in a terminal."""

import json
import logging
import re
import sys
from typing import Final

__all__ = ["event", "set_up"]

VALUE_MAX: Final = 400
"""Longest value in characters: a line must stay a line that people read."""

_PLAIN = re.compile(r"[A-Za-z0-9_./:@+,%-]+")


def event(name: str, **fields: object) -> str:
    """Return `NAME key=value …`; values with blanks or control characters are JSON strings."""
    return " ".join([name, *(f"{key}={_value(value)}" for key, value in fields.items())])


def set_up(level: int = logging.INFO) -> None:
    """Send the log to stderr, which systemd and conmon keep."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _value(value: object) -> str:
    text = str(value)
    if len(text) > VALUE_MAX:
        text = f"{text[:VALUE_MAX]}…"
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
