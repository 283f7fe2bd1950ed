"""The audit's lines on disk: segment files in one directory, one chain through all of them.

A segment is named after the number of its first record. Only the last one is written, by appending;
a line counts once it is fsynced. The medium may fail at any call: what was written of a line then
is cut off before the next attempt.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Final

from contract import chain
from contract.audit.sink import Opened
from contract.chain import LINE_MAX, BrokenChainError, Head
from contract.durable import ensure_directory, sync_directory
from contract.event import AuditDamaged, AuditDropped, AuditRepaired, Event

__all__ = ["KEPT", "SEGMENT_MAX", "Segments", "in_order", "opened", "read_lines"]

SEGMENT_MAX: Final = 4 << 20
"""Bytes of a segment; then the next one is begun."""
KEPT: Final = 64
"""Segments that are kept; the oldest goes, and the chain tells of it, when there are more."""

_NAME: Final = re.compile(r"([0-9]{12})(?:-([0-9]{1,6}))?\.jsonl")
_NUMBER: Final = re.compile(rb'\{"hash":".*"seq":([0-9]{1,18}),"v":1\}\n', re.DOTALL)


class Segments:
    """A Sink in `directory`: files 0600, of `segment_max` bytes, at most `kept` of them."""

    def __init__(self, directory: Path, segment_max: int = SEGMENT_MAX, kept: int = KEPT) -> None:
        self._directory = directory
        self._segment_max = segment_max
        self._kept = kept
        self._name = ""  # of the segment that is written; none yet, or it is not to be touched
        self._size = 0  # of its durable lines
        self._descriptor = -1
        self._news: list[Event] = []

    def open(self) -> Opened:
        """Find the chain's end; cut off a torn last line, and write on behind whatever is broken.

        Raises OSError, MachineError.
        """
        ensure_directory(self._directory)
        names = in_order(self._directory)
        last = _scanned(self._directory / names[-1]) if names else _Scan()
        if names and not last.fault:
            self._name, self._size = names[-1], last.size
            if last.torn:
                self._repair(last)
        elif names:
            self._news.append(AuditDamaged(names[-1], last.fault))
        head = last.head
        for name in reversed(names[:-1]):
            if head is not None:
                break
            head = _scanned(self._directory / name).head
        return Opened(head or chain.GENESIS, last.generation)

    def append(self, line: bytes, seq: int) -> None:
        """Write and fsync a line. Raises OSError."""
        if self._size and self._size + len(line) > self._segment_max:
            self._leave()
        try:
            self._reach(seq)
            view = memoryview(line)
            while view:
                view = view[os.write(self._descriptor, view) :]
            os.fsync(self._descriptor)
        except OSError:
            self._let_go()
            raise
        self._size += len(line)

    def news(self) -> Sequence[Event]:
        """Return, once, what happened to the files, and which of them is too much by now."""
        news, self._news = self._news, []
        return news

    def drop(self, segment: str) -> None:
        """Remove the oldest segment. Raises OSError."""
        (self._directory / segment).unlink(missing_ok=True)

    def lines(self, since: int) -> Iterator[tuple[int, bytes]]:
        """Yield number and line of each record behind `since`; what cannot be read is left out."""
        names = in_order(self._directory)
        later = [name for name in names if _first(name) > since + 1]
        for name in names[max(len(names) - len(later) - 1, 0) :]:
            try:
                file = opened(self._directory / name)
            except FileNotFoundError:
                continue  # it was dropped meanwhile
            with file:
                for line in read_lines(file):
                    found = _NUMBER.fullmatch(line)
                    if found and int(found[1]) > since:
                        yield int(found[1]), line

    def close(self) -> None:
        """Let go of the files."""
        self._let_go()

    def _reach(self, seq: int) -> None:
        """Have the last segment open, and as long as its durable lines are; else a new one."""
        if self._name and self._descriptor < 0:
            self._open_again()
        if self._name and (why := self._strange()):
            self._news.append(AuditDamaged(self._name, why))
            self._leave()
        if not self._name:
            self._begin(seq)

    def _open_again(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._descriptor = os.open(self._directory / self._name, flags)
        except FileNotFoundError:
            return
        if os.fstat(self._descriptor).st_size > self._size:  # the rest of a write that failed
            os.ftruncate(self._descriptor, self._size)

    def _strange(self) -> str:
        if self._descriptor < 0:
            return "it is gone"
        found = os.fstat(self._descriptor)
        if not found.st_nlink:
            return "it was removed"
        if found.st_size != self._size:
            return f"it has {found.st_size} bytes where {self._size} were written"
        return ""

    def _begin(self, seq: int) -> None:
        """Begin a segment with record `seq`; a name may be taken by one that is damaged."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._directory.mkdir(0o700, exist_ok=True)  # somebody may have removed that, too
        names = in_order(self._directory)
        taken = sum(_first(name) == seq for name in names)
        name = f"{seq:012d}-{taken}.jsonl" if taken else f"{seq:012d}.jsonl"
        self._descriptor = os.open(self._directory / name, flags, 0o600)
        os.fchmod(self._descriptor, 0o600)
        sync_directory(self._directory)
        self._name, self._size = name, 0
        self._news += _surplus(self._directory, [*names, name], self._kept)

    def _leave(self) -> None:
        self._let_go()
        self._name, self._size = "", 0

    def _let_go(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _repair(self, last: "_Scan") -> None:
        path = self._directory / self._name
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.ftruncate(descriptor, last.size)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        digest = hashlib.sha256(last.torn).hexdigest()
        self._news.append(AuditRepaired(self._name, len(last.torn), digest))


def in_order(directory: Path) -> list[str]:
    """Return the names of the segments in the order of their records. Raises OSError."""
    found = [name for name in os.listdir(directory) if _NAME.fullmatch(name)]  # noqa: PTH208  names
    return sorted(found, key=_place)


def read_lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield lines with their newlines; one that is too long comes in pieces without any."""
    while line := file.readline(LINE_MAX + 1):
        yield line


@dataclass(slots=True)
class _Scan:
    """What one file holds: its last sound record, and what is wrong with the rest."""

    head: Head | None = None
    generation: int | None = None
    size: int = 0  # of the whole lines
    torn: bytes = field(default=b"", repr=False)
    fault: str = ""


def _scanned(path: Path) -> _Scan:
    """Read a segment from beginning to end. Raises OSError."""
    scan = _Scan()
    with opened(path) as file:
        for number, line in enumerate(read_lines(file), 1):
            if not line.endswith(b"\n") and len(line) <= LINE_MAX:
                scan.torn = line
                break
            scan.size += len(line)
            try:
                known = chain.read(line)
            except BrokenChainError as error:
                scan.fault = scan.fault or f"line {number}: {error.message}"
                continue
            scan.head = known.head
            scan.generation = _generation(known.record, scan.generation)
    return scan


def _generation(record: dict[str, Any], before: int | None) -> int | None:
    event = record.get("event")
    found = event.get("generation") if isinstance(event, dict) else None
    return found if isinstance(found, int) else before


def _surplus(directory: Path, names: list[str], kept: int) -> Iterator[AuditDropped]:
    """Yield the end of each segment that is too much: the beginning of the next one knows it."""
    for name, following in pairwise(names[: max(len(names) - kept, 0) + 1]):
        with opened(directory / following) as file:
            line = file.readline(LINE_MAX + 1)
        try:
            known = chain.read(line)
        except BrokenChainError:
            return  # nobody could explain the gap later: from here on they stay
        yield AuditDropped(name, known.seq - 1, known.prev)


def opened(path: Path) -> IO[bytes]:
    """Return a segment, open for reading. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    return os.fdopen(descriptor, "rb")


def _place(name: str) -> tuple[int, int]:
    found = _NAME.fullmatch(name)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def _first(name: str) -> int:
    return _place(name)[0]
