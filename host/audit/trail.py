"""The one writer of the audit: each event becomes a durable record before its effect is told.

A medium that fails stops nobody: events wait in memory, bounded, status says so, and they are
written when room comes. What found no room in memory either is counted, and the count is written.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from typing import Final

import msgspec

from contract import chain
from contract.audit.sink import Sink
from contract.chain import GENESIS, Head
from contract.errors import SheltieError
from contract.event import AuditDropped, AuditResumed, Entry, Event, entry
from contract.status import AuditStatus
from host.logline import event as line_of

__all__ = ["RETRY_SECONDS", "WAITING_MAX", "Trail"]

WAITING_MAX: Final = 2 << 20
"""Bytes of records that wait for a medium that fails."""
RECENT_MAX: Final = 256 << 10
"""Bytes of the latest records that are kept at hand, for those who follow."""
BLOCK_MAX: Final = 64 << 10
"""Bytes above which lines are handed on."""
RETRY_SECONDS: Final = 5.0

_log = logging.getLogger("host.audit")


class Trail:
    """The audit over a `sink`. `start` comes first; a medium that fails is no error of theirs."""

    def __init__(self, sink: Sink, waiting_max: int = WAITING_MAX) -> None:
        self._sink = sink
        self._waiting_max = waiting_max
        self._opened = False
        self._head = GENESIS
        self._generation: int | None = None
        self._unlinked: deque[Entry] = deque()  # before the chain's end is known
        self._unsaved: deque[tuple[int, bytes]] = deque()
        self._recent: deque[tuple[int, bytes]] = deque()
        self._recent_size = 0
        self._waiting_size = 0
        self._waited = 0
        self._lost = 0
        self._why = ""
        self._more = asyncio.Event()

    def start(self) -> int | None:
        """Find the chain's end; return the settings' number that it knew of last, if any."""
        self._save()
        return self._generation

    def note(self, event: Event) -> int:
        """Write an event and return its number; 0 where it could not be numbered yet."""
        happened = entry(event)
        if not self._has_room():
            self._lost += 1
            self._save()
            return 0
        self._unlinked.append(happened)
        self._link()
        number = self._head.seq if not self._unlinked else 0
        self._save()
        self._tell()
        return number

    def status(self) -> AuditStatus:
        """Return where the audit stands."""
        return AuditStatus(
            records=self._head.seq,
            head=str(self._head),
            waiting=len(self._unsaved) + len(self._unlinked),
            lost=self._lost,
            degraded=self._why,
        )

    @property
    def problems(self) -> list[str]:
        """Return what does not work: one sentence, or none."""
        if not self._why:
            return []
        waiting = len(self._unsaved) + len(self._unlinked)
        return [f"audit: {self._why}; {waiting} events wait in memory, {self._lost} are lost"]

    async def keep(self) -> None:
        """Try again while the medium fails, until cancelled."""
        while True:
            more = self._more
            if self._why:
                await asyncio.sleep(RETRY_SECONDS)
                self._save()
            else:
                await more.wait()

    async def follow(self, since: int, *, wait: bool) -> AsyncGenerator[bytes, None]:
        """Yield the lines of the records behind number `since`; with `wait` also those to come."""
        while True:
            more = self._more
            block = bytearray()
            for number, line in self._behind(since):
                since = number
                block += line
                if len(block) > BLOCK_MAX:
                    yield bytes(block)
                    block.clear()
            if block:
                yield bytes(block)
            if more is self._more:
                if not wait:
                    return
                await more.wait()

    def _behind(self, since: int) -> Iterator[tuple[int, bytes]]:
        if self._recent and self._recent[0][0] <= since + 1:
            yield from [one for one in self._recent if one[0] > since]
            return
        try:
            for number, line in self._sink.lines(since):
                since = number
                yield number, line
        except OSError as error:
            _log.warning(line_of("audit-unreadable", why=error))
        yield from [one for one in self._unsaved if one[0] > since]

    def _has_room(self) -> bool:
        # Ones without a number are few: they wait only as long as the sink cannot be opened.
        room = len(self._unlinked) < self._waiting_max // 1024
        return room and self._waiting_size < self._waiting_max

    def _link(self) -> None:
        while self._opened and self._unlinked:
            record = msgspec.to_builtins(self._unlinked.popleft())
            line, self._head = chain.link(self._head, record)
            self._unsaved.append((self._head.seq, line))
            self._waiting_size += len(line)
            self._remember(self._head, line)

    def _remember(self, head: Head, line: bytes) -> None:
        self._recent.append((head.seq, line))
        self._recent_size += len(line)
        while self._recent_size > RECENT_MAX and len(self._recent) > 1:
            self._recent_size -= len(self._recent.popleft()[1])

    def _save(self) -> None:
        """Write what waits, and what the sink has to tell of its own."""
        try:
            if not self._opened:
                found = self._sink.open()
                self._opened, self._head, self._generation = True, found.head, found.generation
            self._write()
            while news := self._sink.news():
                self._write(*news)
                for event in news:
                    _log.warning(line_of("audit", what=event))
                    if isinstance(event, AuditDropped):  # its end is told of for good
                        self._sink.drop(event.segment)
            if self._why:
                self._resume()
        except (OSError, SheltieError) as error:
            self._degrade(error)

    def _write(self, *events: Event) -> None:
        self._unlinked.extend(map(entry, events))
        self._link()
        while self._unsaved:
            number, line = self._unsaved[0]
            self._sink.append(line, number)
            self._unsaved.popleft()
            self._waiting_size -= len(line)
            self._waited += bool(self._why)

    def _resume(self) -> None:
        _log.warning(line_of("audit-resumed", kept=self._waited, lost=self._lost))
        why, kept, lost = self._why, self._waited, self._lost
        self._why, self._waited, self._lost = "", 0, 0
        self._write(AuditResumed(why, kept, lost))

    def _degrade(self, error: OSError | SheltieError) -> None:
        why = error.message if isinstance(error, SheltieError) else error.strerror or str(error)
        if not self._why:
            _log.error(line_of("audit-degraded", why=why))
        self._why = why
        self._tell()

    def _tell(self) -> None:
        """Wake whoever waits for more."""
        more, self._more = self._more, asyncio.Event()
        more.set()
