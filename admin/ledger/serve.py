"""The ledger's process: sessions come and go, the listener tells, snapshots are compared."""

import os
import select
import socket
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from admin.end import deputies
from admin.ledger.book import Book
from admin.ledger.ear import Ear
from admin.ledger.messages import (
    EXEC,
    AllLeft,
    Begin,
    Begun,
    Done,
    End,
    Ended,
    Entered,
    FromLedger,
    FromListener,
    Leftover,
    Leftovers,
    Lost,
    Mounted,
    Ready,
    Record,
    Replaced,
    Seen,
    Synced,
    ToLedger,
    Unwatch,
    Watch,
    Wrote,
)
from admin.ledger.shots import Shot, Shots
from admin.ledger.span import Span, still
from admin.ledger.tables import Change
from admin.ssh.frame import Channel
from contract import peer
from contract.errors import SheltieError, UsageError

__all__ = ["UNSEEN", "Ledger"]

RECENT_SECONDS = 10.0
"""How old they may be at the beginning of a session."""
FRESH_SECONDS = 60.0
"""How old the tables may be that whoever enters without a session is compared with."""
LINGER_SECONDS = 1.0
"""Entries without a session that follow each other so closely are one."""
SYNC_SECONDS = 3.0
TICK_MS = 500
TOLD_MAX = 200
"""Changes in one packet to a session."""
CONNECTIONS_MAX = 1024
UNSEEN = (
    "what is written to sysfs, to other kernel file systems, or by chattr",
    "stores through a memory map until it is unmapped",
    "what is done in a mount namespace that is no more",
)

Caller = Channel[FromLedger, ToLedger]


class Ledger:
    """All spans that are open, and who waits for them. `note` takes each record that is kept."""

    def __init__(
        self, listening: socket.socket, book: Book, ear: Ear, note: Callable[[Record], None]
    ) -> None:
        self._listening, self._book, self._ear, self._note = listening, book, ear, note
        self._shots = Shots()
        self._callers: dict[int, Caller] = {}
        self._spans: dict[int, Span] = {}  # by the caller's descriptor
        self._exec: Span | None = None
        self._closing: list[Span] = []
        self._left = 0.0  # when the last one left who entered without a session, and did not ask
        self._arrived: set[int] = set()  # who entered since
        self._syncs: dict[int, tuple[float, Callable[[], None]]] = {}
        self._number = 0
        self._ready = Ready(["the listener has not begun yet"], [])
        self._fresh = 0.0

    def run(self) -> None:
        """Serve until the keeper is gone, which ends us."""
        poll = select.poll()
        poll.register(self._listening.fileno(), select.POLLIN)
        known = {self._listening.fileno()}
        while True:
            wanted = {self._listening.fileno(), *self._callers}
            wanted |= {one for one in (self._ear.fileno(), self._shots.fileno()) if one >= 0}
            for descriptor in known - wanted:
                poll.unregister(descriptor)
            for descriptor in wanted:
                poll.register(descriptor, select.POLLIN)
            known = wanted
            self._turn({descriptor for descriptor, _ in poll.poll(TICK_MS)})

    def _turn(self, ready: set[int]) -> None:
        for told in self._ear.hear():
            self._heard(told)
        self._shots.more()
        for descriptor in ready & set(self._callers):
            self._called(descriptor)
        if self._listening.fileno() in ready:
            self._accept()
        now = time.monotonic()
        for number, (deadline, go_on) in list(self._syncs.items()):
            if now > deadline:  # the listener is gone, or far behind
                del self._syncs[number]
                go_on()
        self._end_exec(now)
        if now - self._fresh > FRESH_SECONDS and not self._spans and self._exec is None:
            self._fresh = now
            self._shots.ask(lambda _: None)

    def _end_exec(self, now: float) -> None:
        """End the span of entries without a session, once nobody came for a while but to ask."""
        span = self._exec
        if span is None or not self._left or now - self._left < LINGER_SECONDS:
            return
        if self._arrived <= span.asking:
            self._exec, self._left = None, 0.0
            if not span.pids <= span.asking:
                self._end(span, None)

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError:
            return
        try:
            if peer.of(connection).uid or len(self._callers) >= CONNECTIONS_MAX:
                connection.close()
                return
        except (OSError, SheltieError):
            connection.close()
            return
        connection.setblocking(False)  # noqa: FBT003  its only form
        self._callers[connection.fileno()] = Channel(connection, ToLedger)

    def _called(self, descriptor: int) -> None:
        caller = self._callers[descriptor]
        try:
            received = caller.receive()
        except BlockingIOError:
            return
        except (OSError, UsageError):
            received = None
        match received[0] if received else None:
            case Begin() as begin if descriptor not in self._spans:
                self._begin(descriptor, begin)
            case End() if descriptor in self._spans:
                self._end(self._spans.pop(descriptor), caller)
            case Leftovers():
                self._tell_leftovers(caller)
            case _:
                del self._callers[descriptor]
                if descriptor in self._spans:  # it died: nobody waits for the answer
                    self._end(self._spans.pop(descriptor), None)
                caller.close()

    def _open(self, key: str, user: str, audit: int = 0) -> Span:
        span = Span(key, user, _now(), deputies.now(), time.time(), audit)
        span.before, span.early = self._shots.latest, True
        span.watched = self._ear.fileno() >= 0 and not self._deaf()
        span.mounts_told = span.watched and not any("mounts" in one for one in self._ready.lacking)
        return span

    def _begin(self, descriptor: int, begin: Begin) -> None:
        span = self._spans[descriptor] = self._open(begin.key, begin.user, begin.audit)
        span.root = begin.root
        self._ear.tell(Watch(begin.key, begin.audit))
        if time.monotonic() - self._shots.taken < RECENT_SECONDS and span.before is not None:
            span.early = False  # many logins in a row cost no more than one
            _send(self._callers[descriptor], Begun())
            return

        def done(shot: Shot) -> None:
            # Who was on the host before we had looked may be the reason for what we saw.
            if shot.snapshot is not None and not span.entered:
                span.before, span.early = shot.snapshot, False

        self._shots.ask(done)
        _send(self._callers[descriptor], Begun())

    def _end(self, span: Span, caller: Caller | None) -> None:
        """Close a span: hear the listener out, look at the host, compare, keep, tell."""

        def done(shot: Shot) -> None:
            self._ear.tell(Unwatch(span.key))
            record = self._recorded(span, shot)
            self._book.keep(record)
            if record.changes:
                self._note(record)
            if caller is not None:
                _send(caller, _cut(record))

        def go_on() -> None:
            self._closing.remove(span)
            if not span.may_differ():
                done(Shot(span.before, {}, []))
                return
            self._shots.ask(done, span.tally.paths(), span.moment)

        self._closing.append(span)  # what it did until now is still to be heard
        self._number += 1
        self._syncs[self._number] = (time.monotonic() + SYNC_SECONDS, go_on)
        if not self._ear.sync(self._number):
            span.watched = False
            del self._syncs[self._number]
            go_on()

    def _recorded(self, span: Span, shot: Shot) -> Record:
        changes: list[Change] = []
        if shot.snapshot is not None:
            changes = span.changes(shot.snapshot, shot.files)
        changes += [
            Change("deputy", "left running", f"{one.name} ({one.kind})", after=" ".join(one.stop))
            for one in shot.left
        ]
        number = self._book.number() if changes else 0
        notes = [*span.notes(shot.snapshot), *self._ready.lacking]
        return Record(number, span.key, span.user, span.began, _now(), changes, notes)

    def _heard(self, told: FromListener | None) -> None:
        match told:
            case None:  # it ended
                self._ready = Ready(["the listener has ended"], [])
                for span in self._open_spans():
                    span.watched = False
                self._left = time.monotonic()  # nobody will tell of those who are there
                self._arrived.clear()
            case Ready():
                self._ready = told
                for one in told.lacking:
                    _say(one)
                for span in self._spans.values():
                    self._ear.tell(Watch(span.key, span.audit))
            case Synced(number):
                _, go_on = self._syncs.pop(number, (0.0, lambda: None))
                go_on()
            case Lost(events):
                for span in self._open_spans():
                    span.lost += events
                    span.overflowed |= not events
            case Entered(key, pid):
                if key == EXEC:
                    self._arrived.add(pid)
                    self._exec = self._exec or self._open(EXEC, "")
                for span in self._of(key):
                    span.entered = True
                    span.pids.add(pid)
            case AllLeft():
                asked_only = self._exec is not None and self._arrived <= self._exec.asking
                if not (self._left and asked_only):
                    self._left = time.monotonic()
                self._arrived.clear()
            case Seen(key, mask, path, to):
                for span in self._of(key) if key else self._open_spans():
                    span.tally.add(mask, os.fsdecode(path), os.fsdecode(to), doubt=not key)
            case Replaced(key, path):
                for span in self._of(key) if key else self._open_spans():
                    span.tally.replaced(os.fsdecode(path))
            case Mounted(key, points):
                for span in self._of(key) if key else self._open_spans():
                    (span.points if key else span.doubts).update(points)
            case Wrote(key, path):
                for span in self._of(key):
                    span.sysctls.add(path)

    def _of(self, key: str) -> list[Span]:
        return [one for one in self._open_spans() if one.key == key]

    def _open_spans(self) -> list[Span]:
        return [*self._spans.values(), *self._closing, *([self._exec] if self._exec else [])]

    def _deaf(self) -> bool:
        return any("listener" in one for one in self._ready.lacking)

    def _tell_leftovers(self, caller: Caller) -> None:
        if self._exec is not None:
            self._exec.asking.add(peer.of(caller.socket).pid)
        records = list(self._book.records)
        paths = [
            one.name
            for record in records
            for one in record.changes
            if one.table in ("file", "setuid")
        ]

        def done(shot: Shot) -> None:
            unseen = [*UNSEEN, *self._ready.unseen, *self._ready.lacking]
            if shot.snapshot is None:
                _send(caller, Done(unseen, "the host's tables could not be read"))
                return
            for record in records:
                for index, change in enumerate(record.changes):
                    if still(change, shot.snapshot, shot.files):
                        told = Leftover(
                            record.number, index, record.key, record.user, record.ended, change
                        )
                        if not _send(caller, told):
                            return
            _send(caller, Done(unseen))

        self._shots.ask(done, paths)


def _cut(record: Record) -> Ended:
    import msgspec

    more = max(len(record.changes) - TOLD_MAX, 0)
    return Ended(msgspec.structs.replace(record, changes=record.changes[:TOLD_MAX]), more)


def _send(caller: Caller, message: FromLedger) -> bool:
    """Send to who may be gone, or does not read; whether it took it."""
    try:
        caller.socket.settimeout(5.0)
        caller.send(message)
        caller.socket.setblocking(False)  # noqa: FBT003  its only form
    except OSError:
        return False
    return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _say(line: str) -> None:
    sys.stderr.write(f"ledger: {line}\n")
    sys.stderr.flush()
