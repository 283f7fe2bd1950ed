"""Asking the keeper: what `admin rpc` and `admin status` do. Light: no event loop."""

import contextlib
import socket
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from admin.keeper import place
from contract.errors import SheltieError, UnavailableError, UsageError
from contract.rpc import (
    LINE_MAX,
    AdminStatus,
    CheckShown,
    Fault,
    Reply,
    Request,
    decode_reply,
    decode_request,
    encode,
)

__all__ = ["ask_check", "ask_status", "relay"]

ANSWER_SECONDS = 30.0

Answer = TypeVar("Answer")


class Conversation:
    """One connection to the keeper, made at the first question."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: tuple[socket.socket, IO[bytes]] | None = None

    def ask(self, line: bytes) -> bytes:
        """Return the reply to one line. Raises UnavailableError (KEEPER_ABSENT)."""
        connection, replies = self._opened or self._open()
        try:
            with contextlib.suppress(BrokenPipeError):  # a refusal may come before the question
                connection.sendall(line)
            reply = replies.readline(LINE_MAX + 1)
        except OSError:
            reply = b""
        if not reply.endswith(b"\n"):
            self.close()
            raise UnavailableError(
                f"admin's keeper gave no answer at {self._path}",
                hint="is `admin serve` running?",
                code="KEEPER_ABSENT",
            )
        return reply

    def close(self) -> None:
        """Hang up; the next question makes a new connection."""
        for one in self._opened or ():
            one.close()
        self._opened = None

    def _open(self) -> tuple[socket.socket, IO[bytes]]:
        connection = place.connect(self._path)
        connection.settimeout(ANSWER_SECONDS)
        self._opened = (connection, connection.makefile("rb"))
        return self._opened


def relay(path: Path, requests: IO[bytes], replies: IO[bytes]) -> int:
    """Ask the keeper each line of `requests`; return the exit status.

    Each line gets its reply, an error reply too where the keeper is not there.
    """
    with contextlib.closing(Conversation(path)) as conversation:
        return _relay(conversation, requests, replies)


def _relay(conversation: Conversation, requests: IO[bytes], replies: IO[bytes]) -> int:
    status = 0
    while line := requests.readline(LINE_MAX + 1):
        if not line.strip():
            continue
        try:
            reply = conversation.ask(_whole(line, requests))
        except SheltieError as error:
            reply = encode(Reply(_number(line), error=Fault(error.code, error.message, error.hint)))
            status = error.exit_status
        replies.write(reply)
        replies.flush()
    return status


def ask_status(path: Path) -> AdminStatus:
    """Return the keeper's status. Raises SheltieError."""
    return _ask(path, "status", AdminStatus)


def ask_check(path: Path) -> CheckShown:
    """Have the keeper check its door, and return what was seen. Raises SheltieError."""
    return _ask(path, "check", CheckShown)


def _ask(path: Path, method: str, answer: type[Answer]) -> Answer:
    with contextlib.closing(Conversation(path)) as conversation:
        reply = decode_reply(conversation.ask(encode(Request(1, method))))
    try:
        return msgspec.convert(reply.result, answer)
    except msgspec.ValidationError as error:
        raise UsageError(f"invalid rpc reply: {error}", code="RPC_MESSAGE") from error


def _whole(line: bytes, requests: IO[bytes]) -> bytes:
    """Return the line with its end. Raises UsageError for one that is too long, and skips it."""
    if line.endswith(b"\n"):
        return line
    if len(line) <= LINE_MAX:
        return line + b"\n"
    while (more := requests.readline(LINE_MAX)) and not more.endswith(b"\n"):
        continue
    raise UsageError(f"rpc line longer than {LINE_MAX} bytes", code="RPC_MESSAGE")


def _number(line: bytes) -> int:
    try:
        return decode_request(line).id
    except SheltieError:
        return 0
