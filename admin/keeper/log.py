"""The log on stderr, which conmon and the journal keep: `LEVEL event key=value …`."""

import json
import logging
import re
import sys
from typing import Final

__all__ = ["event", "set_up"]

VALUE_MAX: Final = 400
"""Longest value in characters: peers choose some of them."""

_PLAIN = re.compile(r"[A-Za-z0-9_./:@+,%\[\]-]+")


def event(name: str, **fields: object) -> str:
    """Return `NAME key=value …`; empty fields are left out, odd values are JSON strings."""
    shown = {key: str(value) for key, value in fields.items() if value not in ("", None)}
    return " ".join([name, *(f"{key}={_value(value)}" for key, value in shown.items())])


def set_up() -> None:
    """Send the log to stderr. Whoever keeps it adds the time."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _value(text: str) -> str:
    if len(text) > VALUE_MAX:
        text = f"{text[:VALUE_MAX]}…"
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
