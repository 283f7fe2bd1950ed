"""The messages of the host API's /exec WebSocket, as upstream's serde writes them.

Text messages hold JSON, enums tagged from outside (core-kit sources/models/src/exec.rs); binary
messages are process bytes. An argument is an OsString: `{"Unix": [98, 97]}`; plain strings are
accepted too, as an extension.
"""

from typing import Any, Final

import msgspec

from contract.errors import UsageError

__all__ = [
    "CAPACITY_EVERY",
    "CELLS_MAX",
    "HEARTBEAT_SECONDS",
    "HEARTBEAT_TIMEOUT_SECONDS",
    "INPUT_MAX",
    "MESSAGES_OUTSTANDING_MAX",
    "MESSAGE_MAX",
    "OUTPUT_MAX",
    "Capacity",
    "ContentComplete",
    "Initialize",
    "Size",
    "Winch",
    "decode_client",
    "decode_server",
    "encode_client",
    "encode_server",
]

MESSAGE_MAX: Final = 64 * 1024
"""Largest message in bytes that the server takes."""
INPUT_MAX: Final = 4096
"""Largest piece of input in bytes that a client sends without a terminal; 1 with one."""
OUTPUT_MAX: Final = 4096
"""Largest piece of output in bytes."""
MESSAGES_OUTSTANDING_MAX: Final = 1024
"""Input messages that may wait in the server; more ends the connection with 1009."""
CAPACITY_EVERY: Final = 128
"""The server reports after each so many input messages written."""
CELLS_MAX: Final = 0xFFFF
"""Rows and columns are 16-bit numbers (struct winsize, ioctl_tty(2))."""
HEARTBEAT_SECONDS: Final = 2.0
HEARTBEAT_TIMEOUT_SECONDS: Final = 10.0


class Size(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A terminal's size in character cells."""

    rows: int
    cols: int


class Initialize(msgspec.Struct, frozen=True):
    """First message of a client: run `command` (bytes each) in container `target`.

    `tty` asks for a terminal; `size` is its first size where known.
    """

    command: tuple[bytes, ...]
    target: str
    tty: bool = False
    size: Size | None = None


class ContentComplete(msgspec.Struct, frozen=True):
    """The client's input is at its end."""


class Winch(msgspec.Struct, frozen=True):
    """The client's terminal has a new size."""

    size: Size


class Capacity(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How many input messages may be outstanding, and how many were written so far."""

    max_messages_outstanding: int
    messages_written: int


ClientMessage = Initialize | ContentComplete | Winch


class _OsString(msgspec.Struct, forbid_unknown_fields=True):
    unix: list[int] = msgspec.field(name="Unix")


class _Tty(msgspec.Struct, forbid_unknown_fields=True):
    size: Size | None = None


class _Initialize(msgspec.Struct, forbid_unknown_fields=True):
    command: list[_OsString | str]
    target: str
    tty: _Tty | None = None


def encode_client(message: ClientMessage) -> str:
    """Return the JSON text of a client's message, arguments as OsStrings."""
    document: Any
    match message:
        case Initialize(command, target, tty, size):
            words = [{"Unix": list(word)} for word in command]
            terminal = {"size": size} if tty else None
            document = {"Initialize": {"command": words, "target": target, "tty": terminal}}
        case ContentComplete():
            document = "ContentComplete"
        case Winch(size):
            document = {"Winch": size}
    return msgspec.json.encode(document).decode()


def decode_client(text: str) -> ClientMessage:
    """Decode a client's message. Raises UsageError (EXEC_MESSAGE) on anything unknown."""
    document = _decode(text)
    try:
        match document:
            case "ContentComplete":
                return ContentComplete()
            case {"Winch": size, **rest} if not rest:
                return Winch(_check(msgspec.convert(size, Size)))
            case {"Initialize": body, **rest} if not rest:
                return _initialize(msgspec.convert(body, _Initialize))
            case _:
                raise _invalid("unknown message")
    except (msgspec.ValidationError, ValueError) as error:
        raise _invalid(str(error)) from error


def encode_server(message: Capacity) -> str:
    """Return the JSON text of a server's message."""
    return msgspec.json.encode({"Capacity": message}).decode()


def decode_server(text: str) -> Capacity:
    """Decode a server's message. Raises UsageError (EXEC_MESSAGE) on anything unknown."""
    match _decode(text):
        case {"Capacity": body, **rest} if not rest:
            try:
                return msgspec.convert(body, Capacity)
            except msgspec.ValidationError as error:
                raise _invalid(str(error)) from error
        case _:
            raise _invalid("unknown message")


def _initialize(body: _Initialize) -> Initialize:
    words = tuple(
        word.encode("utf-8", "surrogateescape") if isinstance(word, str) else bytes(word.unix)
        for word in body.command
    )
    if not words or any(b"\0" in word for word in words):
        raise _invalid("command must hold at least one word and no NUL")
    size = body.tty.size if body.tty else None
    return Initialize(words, body.target, body.tty is not None, size and _check(size))


def _check(size: Size) -> Size:
    if not (0 <= size.rows <= CELLS_MAX and 0 <= size.cols <= CELLS_MAX):
        raise _invalid("a terminal's size is two 16-bit numbers")
    return size


def _decode(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _invalid(str(error)) from error


def _invalid(why: str) -> UsageError:
    return UsageError(f"invalid exec message: {why}", code="EXEC_MESSAGE")
