"""Snapshots for whoever wishes one: one at a time, and one for all who wished before it began."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from admin.end.deputies import Left, Moment
from admin.ledger.tables import Snapshot
from admin.ledger.taking import Taking
from admin.ledger.tally import File
from contract.errors import SheltieError

__all__ = ["Shot", "Shots"]


@dataclass(frozen=True)
class Shot:
    """What came of it; `snapshot` is None when it failed."""

    snapshot: Snapshot | None
    files: dict[str, File | None]
    left: list[Left]


@dataclass(frozen=True)
class _Wish:
    paths: Sequence[str]
    moment: Moment | None
    done: Callable[[Shot], None]


class Shots:
    """The queue. `fileno` is that of the snapshot under way, -1 when there is none."""

    def __init__(self) -> None:
        self._wishes: list[_Wish] = []
        self._served: list[_Wish] = []
        self._taking: Taking | None = None
        self.latest: Snapshot | None = None
        self.taken = 0.0
        """When `latest` was begun (time.monotonic)."""

    def ask(
        self, done: Callable[[Shot], None], paths: Sequence[str] = (), moment: Moment | None = None
    ) -> None:
        """Call `done` with a snapshot that begins after now.

        It comes with how `paths` are, and with what deputies began since `moment`.
        """
        self._wishes.append(_Wish(paths, moment, done))
        self._begin()

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._taking.fileno() if self._taking else -1

    def more(self) -> None:
        """Go on with what is under way; to be called when it can, and now and then."""
        if self._taking is None:
            return
        paths = [path for one in self._served for path in one.paths]
        try:
            taken = self._taking.more()
            if taken is None:
                return
        except SheltieError as error:
            _say(error.line())
            shots = [Shot(None, dict.fromkeys(one.paths), []) for one in self._served]
        else:
            self.latest, self.taken = taken.snapshot, self._taking.begun
            files = dict(zip(paths, taken.files, strict=True))
            left = iter(taken.left)
            shots = [
                Shot(taken.snapshot, files, next(left) if one.moment else [])
                for one in self._served
            ]
        served, self._served, self._taking = self._served, [], None
        for one, shot in zip(served, shots, strict=True):
            one.done(shot)
        self._begin()

    def _begin(self) -> None:
        if self._taking is not None or not self._wishes:
            return
        self._served, self._wishes = self._wishes, []
        paths = [path for one in self._served for path in one.paths]
        moments = [one.moment for one in self._served if one.moment]
        try:
            self._taking = Taking(paths, moments)
        except OSError as error:
            _say(f"no snapshot: {os.strerror(error.errno or 0)}")
            served, self._served = self._served, []
            for one in served:
                one.done(Shot(None, dict.fromkeys(one.paths), []))


def _say(line: str) -> None:
    sys.stderr.write(f"ledger: {line}\n")
    sys.stderr.flush()
