"""Asking the admin container: `admin rpc` in it by /exec of the host API, never by network."""

from dataclasses import dataclass
from typing import Final

import msgspec

from contract.apiclient.run import run
from contract.errors import SheltieError, UnavailableError
from contract.rpc import (
    AdminStatus,
    HostKeys,
    Reply,
    Request,
    decode_reply,
    encode,
)

__all__ = ["Admin", "Answer"]

NAME: Final = "admin"
SECONDS: Final = 15.0
"""Longest wait for an answer: a sick host starts a process slowly."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How the door stands; `host_keys` is None before the SSH server has any."""

    status: AdminStatus
    host_keys: HostKeys | None


class Admin:
    """The admin container behind the host API at socket `path`."""

    def __init__(self, path: str) -> None:
        self._path = path

    def ask(self) -> Answer:
        """Return status and host keys, in one exec. Raises UnavailableError (ADMIN_SILENT)."""
        lines = encode(Request(1, "status")) + encode(Request(2, "host-keys"))
        try:
            code, output = run(self._path, NAME, [b"admin", b"rpc"], lines, seconds=SECONDS)
        except SheltieError as error:
            raise _silent(error.message) from error
        found = dict(map(_reply, filter(_is_reply, output.splitlines())))
        if 1 not in found:
            words = output.decode("utf-8", "replace").strip().splitlines()
            raise _silent(words[-1][:200] if words else f"`admin rpc` ended with {code}")
        status, keys = found[1], found.get(2)
        if isinstance(status, SheltieError):
            raise _silent(status.message) from status
        try:
            shown = None if isinstance(keys, SheltieError) else msgspec.convert(keys, HostKeys)
            return Answer(msgspec.convert(status, AdminStatus), shown)
        except msgspec.ValidationError as error:
            raise _silent(f"`admin rpc` speaks another language: {error}") from error

    def has_started(self) -> bool:
        """Whether commands can be run in it."""
        try:
            return run(self._path, NAME, [b"true"], seconds=SECONDS)[0] == 0
        except SheltieError:
            return False


def _is_reply(line: bytes) -> bool:
    # Standard error comes the same way: what is no JSON object is no reply.
    return line.startswith(b"{")


def _reply(line: bytes) -> tuple[int, object]:
    """Return a reply's number and its result, or the error that it reports."""
    try:
        number = msgspec.json.decode(line, type=Reply).id
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _silent(f"`admin rpc` speaks another language: {error}") from error
    try:
        return number, decode_reply(line).result
    except SheltieError as error:
        return number, error


def _silent(why: str) -> UnavailableError:
    return UnavailableError(
        f"the admin container does not answer: {why}",
        hint="see `control status`",
        code="ADMIN_SILENT",
    )
