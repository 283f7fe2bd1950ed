"""Talking to the ledger: what a session's process and `sheltie leftovers` do."""

import contextlib
import socket

from admin.end.marks import UNSET, Marks
from admin.ledger.messages import (
    Begin,
    Done,
    End,
    Ended,
    FromLedger,
    Leftover,
    Leftovers,
    ToLedger,
)
from admin.ledger.tables import Change
from admin.ssh.frame import Channel
from contract import places
from contract.errors import TimedOutError, UnavailableError, UsageError

__all__ = ["Watched", "leftovers"]

BEGIN_SECONDS = 0.2
END_SECONDS = 15.0
LINES_MAX = 20


class Watched:
    """A session that the ledger knows of, for as long as this is open."""

    def __init__(
        self, marks: Marks, user: str, *, root: bool, path: str = places.LEDGER_SOCKET
    ) -> None:
        """Tell the ledger. Raises OSError where there is none."""
        self._channel = _connect(path, BEGIN_SECONDS)
        key = marks.cgroup.name if marks.cgroup else f"session-{marks.pid}"
        self._channel.send(Begin(key, 0 if marks.audit == UNSET else marks.audit, user, root))

    def end(self, seconds: float = END_SECONDS) -> list[str]:
        """Say that all have ended; return the lines about what is otherwise now."""
        try:
            self._channel.socket.settimeout(seconds)
            self._channel.send(End())
            while True:
                received = self._channel.receive()
                match received[0] if received else None:
                    case Ended(record, more):
                        return _lines(record.changes, record.notes, more)
                    case None:
                        return ["the ledger ended before the session: what changed is not known"]
                    case _:
                        continue
        except (OSError, UsageError):
            return ["the ledger does not answer: what changed is not known yet"]
        finally:
            self._channel.close()


def leftovers(path: str = places.LEDGER_SOCKET) -> tuple[list[Leftover], Done]:
    """Return what is still there of all that sessions changed. Raises SheltieError."""
    try:
        channel = _connect(path, END_SECONDS)
    except OSError as error:
        raise UnavailableError(
            f"there is no ledger at {path}: {error.strerror}",
            hint="admin's keeper runs it while admin is superpowered",
            code="LEDGER_ABSENT",
        ) from error
    found: list[Leftover] = []
    with contextlib.closing(channel):
        try:
            channel.send(Leftovers())
            while True:
                received = channel.receive()
                match received[0] if received else None:
                    case Leftover() as one:
                        found.append(one)
                    case Done() as done:
                        return found, done
                    case _:
                        raise UnavailableError("the ledger hung up", code="LEDGER_ABSENT")
        except OSError as error:
            raise TimedOutError("the ledger does not answer", code="LEDGER_SILENT") from error


def _connect(path: str, seconds: float) -> "Channel[ToLedger, FromLedger]":
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(seconds)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return Channel(connection, FromLedger)


def _lines(changes: list[Change], notes: list[str], more: int) -> list[str]:
    if not changes:
        return []
    shown = [one.line() for one in changes if one.table != "deputy"]
    hidden = max(len(shown) - LINES_MAX, 0) + more
    lines = [f"CHANGED {one}" for one in shown[:LINES_MAX]]
    if hidden:
        lines.append(f"CHANGED and {hidden} more things")
    return [*lines, *(f"the ledger: {one}" for one in notes if shown)]
