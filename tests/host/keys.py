"""Made-up keys and user-data for tests."""

import base64
import json
from typing import Any

__all__ = ["decoded", "encoded", "key_line", "keys"]


def key_line(number: int, comment: str = "") -> str:
    """Return an ed25519 key line of made-up bytes."""
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes([number]) * 32
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} {comment or f'k{number}'}"


def encoded(document: Any) -> str:
    """Return a JSON document as the API takes user-data."""
    return base64.b64encode(json.dumps(document).encode()).decode()


def decoded(text: str) -> Any:
    """Return the JSON document of a user-data setting."""
    return json.loads(base64.b64decode(text, validate=True))


def keys(*numbers: int) -> str:
    """Return user-data of these keys, as the API takes it."""
    return encoded({"ssh": {"authorized-keys": [key_line(number) for number in numbers]}})
