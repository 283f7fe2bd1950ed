"""The opening of an exec's WebSocket (RFC 6455 section 4.2), as forgiving as stock clients need.

Upstream's client sends its key without base64 padding (connect.rs, STANDARD_NO_PAD), which wsproto
and most servers refuse: the accept value is computed over the header's text as it came.
"""

import base64
import hashlib
from collections.abc import Mapping
from typing import Final

from contract.errors import RefusedError, UsageError
from host import callers
from host.api.message import Call, Response, failed
from host.audit.calls import who
from host.house import House

__all__ = ["accept_value", "opening"]

KEY_MAX: Final = 256
"""Longest key in characters: sixteen bytes need 24."""
_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_value(key: str) -> str:
    """Return Sec-WebSocket-Accept for the text of a Sec-WebSocket-Key."""
    digest = hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def opening(house: House, call: Call) -> Response | list[tuple[str, str]]:
    """Return the headers of the switch to WebSocket, or the answer that refuses it."""
    try:
        callers.check_exec(call.caller, None, admin_enabled=house.admin_enabled)
        key = _key(call.headers)
    except RefusedError as error:
        house.calls.refused(who(call.caller, call.peer), "GET /exec", error)
        return failed(error)
    except UsageError as error:
        return failed(error)
    return [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-accept", accept_value(key)),
    ]


def _key(headers: Mapping[str, str]) -> str:
    if headers.get("upgrade", "").strip().lower() != "websocket":
        raise _bad("No WebSocket upgrade header found")
    words = {word.strip() for word in headers.get("connection", "").lower().split(",")}
    if "upgrade" not in words:
        raise _bad("No Connection upgrade")
    if headers.get("sec-websocket-version", "").strip() != "13":
        raise _bad("Unsupported WebSocket version")
    key = headers.get("sec-websocket-key", "").strip()
    if not key or len(key) > KEY_MAX:
        raise _bad("Unknown WebSocket key")
    return key


def _bad(why: str) -> UsageError:
    return UsageError(why, code="WEBSOCKET_OPENING")
