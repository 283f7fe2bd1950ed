"""Made-up keys and user-data."""

import base64
import json

__all__ = ["key_line", "user_data"]


def key_line(number: int, comment: str = "") -> str:
    """Return an Ed25519 key line of made-up bytes."""
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + number.to_bytes(32, "big")
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} {comment or f'k{number}'}"


def user_data(*lines: str) -> bytes:
    """Return user-data of these authorized keys."""
    return json.dumps({"ssh": {"authorized-keys": lines}}, ensure_ascii=False).encode()
