"""What the API tells the audit: who called, what was refused, what came of it.

Failures are written one by one up to a number in a minute for each caller; then they are counted,
and the sum is written. Else whoever may do nothing could still fill the disk, and push older
records out of it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from contract.errors import RefusedError, SheltieError
from contract.event import Called, Event, ExecEnded, ExecStarted, Refused, Who, cut, shortened
from contract.peer import Peer
from host.callers import Caller

__all__ = ["BURST", "WINDOW_SECONDS", "Calls", "who"]

BURST: Final = 20
"""Failures of one caller that are written one by one in a window."""
WINDOW_SECONDS: Final = 60.0


def who(caller: Caller, peer: Peer) -> Who:
    """Return what an event says of who did it."""
    return Who(
        caller.label,
        peer.uid,
        peer.gid,
        peer.pid,
        peer.outside,
        peer.started,
        peer.cgroup_id,
        cut(peer.cgroup),
    )


@dataclass
class _Window:
    """One caller's failures of late."""

    written: int = 0
    last: Called | Refused | None = None
    more: int = 0


class Calls:
    """Writes by `note`. It needs a running loop."""

    def __init__(self, note: Callable[[Event], int]) -> None:
        self._note = note
        self._windows: dict[str, _Window] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def answered(self, whose: Who, method: str, path: str, status: int, tx: str = "") -> None:
        """A call that may change something was answered."""
        self._note(Called(whose, method, cut(path), status, cut(tx)))

    def failed(self, whose: Who, method: str, path: str, error: SheltieError, tx: str = "") -> None:
        """A call was refused, or could not be served."""
        if isinstance(error, RefusedError):
            self.refused(whose, f"{method} {path}", error)
        else:
            called = Called(whose, method, cut(path), error.http_status, cut(tx), error.code)
            self._failure(whose.caller, called)

    def refused(self, whose: Who, what: str, error: SheltieError) -> None:
        """The callers' table said no."""
        refused = Refused(whose, cut(what), cut(error.message), error.code)
        self._failure(whose.caller, refused)

    def exec_started(self, whose: Who, target: str, argv: list[str], *, tty: bool) -> int:
        """A command is about to start; return the record's number."""
        return self._note(ExecStarted(whose, cut(target), shortened(argv), tty))

    def exec_ended(self, whose: Who, target: str, started: int, result: str) -> None:
        """It is over."""
        self._note(ExecEnded(whose, cut(target), started, cut(result)))

    def close(self) -> None:
        """Write the sums that wait for the end of their windows."""
        for label in list(self._timers):
            self._timers[label].cancel()
            self._over(label)

    def _failure(self, label: str, event: Called | Refused) -> None:
        window = self._windows.setdefault(label, _Window())
        if label not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers[label] = loop.call_later(WINDOW_SECONDS, self._over, label)
        if window.written < BURST:
            window.written += 1
            self._note(event)
        else:
            window.last, window.more = event, window.more + 1

    def _over(self, label: str) -> None:
        """End a caller's window, and write the sum of what was not written."""
        window = self._windows.pop(label)
        del self._timers[label]
        if window.last is not None:
            self._note(msgspec.structs.replace(window.last, times=window.more))
