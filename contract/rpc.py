"""The rpc between control and admin: `admin rpc` reads requests and writes replies, a line each.

Lines are JSON objects of at most LINE_MAX bytes. Methods so far: `status` (an AdminStatus),
`host-keys` (a HostKeys) and `check` (a CheckShown). A request that is not understood gets an error
reply, never silence.
"""

from typing import Any, Final

import msgspec

from contract.errors import SheltieError, UsageError

__all__ = [
    "KEYS_MAX",
    "LINE_MAX",
    "AdminStatus",
    "CheckShown",
    "Fault",
    "HostKeys",
    "KeyShown",
    "LoginKey",
    "RefusalShown",
    "Reply",
    "Request",
    "SessionShown",
    "decode_reply",
    "decode_request",
    "encode",
]

LINE_MAX: Final = 64 * 1024
"""Longest line in bytes."""
KEYS_MAX: Final = 100
"""Most keys that a status shows, so that a reply stays one line."""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Call `method` with `params`; the reply bears the same `id`."""

    id: int
    method: str
    params: dict[str, Any] = {}


class Fault(msgspec.Struct, frozen=True):
    """Why a request failed: a stable code, a message, the next step."""

    code: str
    message: str
    hint: str = ""


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to request `id`: `result` or `error`."""

    id: int
    result: Any = None
    error: Fault | None = None


class KeyShown(msgspec.Struct, frozen=True):
    """A public key as people recognise it."""

    fingerprint: str
    type: str
    comment: str = ""


class LoginKey(KeyShown, frozen=True):
    """A key that lets in, and what its logins may: `root` or `look`."""

    access: str = "root"


class SessionShown(msgspec.Struct, frozen=True):
    """One live session. `since` is RFC 3339 UTC; `peer` an address with its port."""

    id: str
    user: str
    since: str
    peer: str
    key: str
    tty: bool = False
    access: str = "root"


class RefusalShown(msgspec.Struct, frozen=True, omit_defaults=True):
    """Somebody tried to log in and was refused: by which key, and why. `when` is RFC 3339 UTC."""

    when: str
    peer: str
    user: str = ""
    key: str = ""
    why: str = ""


class CheckShown(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the door's self-check saw, the last line what failed. `when` is RFC 3339 UTC."""

    when: str
    where: str
    ok: bool
    seen: list[str] = []


class AdminStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the door stands. `ready` means that the SSH server answers and somebody may log in.

    `reached_at` is where the owner says that it is reached, if not at the host's own addresses.
    """

    ready: bool
    user: str
    since: str = ""
    listen: list[tuple[str, int]] = []
    reached_at: list[tuple[str, int]] = []
    keys: list[LoginKey] = []
    sessions: list[SessionShown] = []
    refusals: list[RefusalShown] = []
    check: CheckShown | None = None
    problems: list[str] = []


class HostKeys(msgspec.Struct, frozen=True):
    """The SSH server's public host keys (`TYPE BASE64`) and where it listens."""

    keys: list[str]
    listen: list[tuple[str, int]]
    user: str


def encode(message: Request | Reply) -> bytes:
    """Return the message as one line, newline included."""
    return msgspec.json.encode(message) + b"\n"


def decode_request(line: bytes) -> Request:
    """Decode one line. Raises UsageError (RPC_MESSAGE)."""
    if len(line) > LINE_MAX:
        raise UsageError(f"rpc line longer than {LINE_MAX} bytes", code="RPC_MESSAGE")
    try:
        return msgspec.json.decode(line, type=Request)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # Cut: it repeats names of the request, and its reply must be one line too.
        raise UsageError(f"invalid rpc request: {str(error)[:200]}", code="RPC_MESSAGE") from error


def decode_reply(line: bytes) -> Reply:
    """Decode one line and return it, or raise what it reports as a SheltieError of its code.

    Raises UsageError (RPC_MESSAGE) when the line itself is unusable.
    """
    try:
        reply = msgspec.json.decode(line, type=Reply)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"invalid rpc reply: {error}", code="RPC_MESSAGE") from error
    if reply.error is not None:
        fault = reply.error
        raise SheltieError(fault.message, hint=fault.hint, code=fault.code)
    return reply
