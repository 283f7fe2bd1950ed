"""What is asked of the helper and what it answers: msgpack in frames of a length and a body."""

import socket
import struct
from typing import Annotated

import msgspec

from contract.errors import FailedError, MachineError, NotFoundError, SheltieError, UsageError

__all__ = [
    "ANSWER_MAX",
    "Answer",
    "Capture",
    "Containers",
    "Disk",
    "Environ",
    "Fault",
    "Files",
    "Firewall",
    "Logs",
    "Netstat",
    "Pods",
    "Request",
    "Stacks",
    "Table",
    "Text",
    "Units",
    "decode_request",
    "fault",
    "raised",
    "receive",
    "send",
]

REQUEST_MAX = 64 << 10
ANSWER_MAX = 64 << 20
_LENGTH = struct.Struct("=I")

Pid = Annotated[int, msgspec.Meta(ge=1, le=1 << 22)]
# What systemd allows in a unit's name (systemd.unit(5)), and a first letter that is no option's.
Unit = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]{0,254}\Z")]
Interface = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.:@][A-Za-z0-9_.:@-]{0,14}\Z")]
Filter = Annotated[str, msgspec.Meta(pattern=r"^[ -~]*\Z", max_length=1000)]


class _Request(msgspec.Struct, frozen=True, tag=str.lower, forbid_unknown_fields=True):
    """One report."""


class Units(_Request, frozen=True):
    """systemd's units."""


class Logs(_Request, frozen=True):
    """A unit's last lines."""

    unit: Unit
    lines: Annotated[int, msgspec.Meta(ge=1, le=10000)] = 200


class Containers(_Request, frozen=True):
    """The host's containers, by its own engine."""


class Pods(_Request, frozen=True):
    """The host's pods."""


class Netstat(_Request, frozen=True):
    """The host's sockets with their owners."""


class Files(_Request, frozen=True):
    """What a process has open."""

    pid: Pid


class Environ(_Request, frozen=True):
    """A process's environment: names, and values if asked for."""

    pid: Pid
    values: bool = False


class Stacks(_Request, frozen=True):
    """Where a process's threads stand in the kernel."""

    pid: Pid


class Firewall(_Request, frozen=True):
    """The rules of the packet filter."""


class Disk(_Request, frozen=True):
    """How full the host's file systems are."""


class Capture(_Request, frozen=True):
    """Packets, until one of the bounds is met."""

    interface: Interface = "any"
    count: Annotated[int, msgspec.Meta(ge=1, le=10000)] = 100
    seconds: Annotated[int, msgspec.Meta(ge=1, le=300)] = 10
    filter: Filter = ""


Request = (
    Units
    | Logs
    | Containers
    | Pods
    | Netstat
    | Files
    | Environ
    | Stacks
    | Firewall
    | Disk
    | Capture
)


class Table(msgspec.Struct, frozen=True, tag="table"):
    """Rows under columns; a note is a sentence about what is not in them."""

    columns: list[str]
    rows: list[list[str | int]]
    notes: list[str] = []


class Text(msgspec.Struct, frozen=True, tag="text"):
    """What a program printed, by lines."""

    lines: list[str]
    notes: list[str] = []


class Fault(msgspec.Struct, frozen=True, tag="fault"):
    """Why there is no report."""

    kind: str
    code: str
    message: str
    hint: str = ""


Answer = Table | Text | Fault

_KINDS: dict[str, type[SheltieError]] = {
    kind.__name__: kind for kind in (FailedError, MachineError, NotFoundError, UsageError)
}
_requests = msgspec.msgpack.Decoder(Request)
_answers = msgspec.msgpack.Decoder(Answer)


def decode_request(data: bytes) -> Request:
    """Return the request in `data`. Raises UsageError (REPORT_REQUEST)."""
    try:
        request: Request = _requests.decode(data)
    except msgspec.MsgspecError as error:
        raise UsageError(str(error), hint="see sheltie --help", code="REPORT_REQUEST") from error
    return request


def fault(error: SheltieError) -> Fault:
    """Return an error as the helper sends it."""
    return Fault(type(error).__name__, error.code, error.message, error.hint)


def raised(told: Fault) -> SheltieError:
    """Return the error that the helper sent."""
    kind = _KINDS.get(told.kind, FailedError)
    return kind(told.message, hint=told.hint, code=told.code)


def send(end: socket.socket, message: Request | Answer) -> None:
    """Send one message. Raises OSError."""
    data = msgspec.msgpack.encode(message)
    end.sendall(_LENGTH.pack(len(data)) + data)


def receive(end: socket.socket, limit: int) -> bytes:
    """Return the body of one message, empty where none comes any more. Raises OSError."""
    head = _exactly(end, _LENGTH.size)
    if len(head) < _LENGTH.size or _LENGTH.unpack(head)[0] > limit:
        return b""
    (length,) = _LENGTH.unpack(head)
    data = _exactly(end, length)
    return data if len(data) == length else b""


def receive_answer(end: socket.socket) -> Answer:
    """Return the helper's answer. Raises FailedError (REPORT_LOST)."""
    try:
        answer: Answer = _answers.decode(receive(end, ANSWER_MAX))
    except (OSError, msgspec.MsgspecError) as error:
        raise FailedError("the helper ended without an answer", code="REPORT_LOST") from error
    return answer


def _exactly(end: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length and (more := end.recv(min(length - len(data), 1 << 20))):
        data += more
    return bytes(data)
