"""Checking an audit offline: every segment of a directory, as one chain."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from contract.audit.segments import in_order, opened, read_lines
from contract.chain import GENESIS, LINE_MAX, BrokenChainError, Check, Head, Link, read
from contract.errors import NotFoundError
from contract.event import AuditDropped, Entry

__all__ = ["Report", "check", "entries"]


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found. `first` is above 1 where older segments were dropped, as told."""

    segments: int
    first: int
    head: Head
    faults: tuple[str, ...]


def check(directory: Path, witness: Head | None = None) -> Report:
    """Check the audit in `directory`; `witness` is a head that was kept elsewhere.

    Raises NotFoundError (AUDIT_MISSING), OSError.
    """
    names = _names(directory)
    under_way: Check | None = None
    beginning: Link | None = None
    explained = False
    for where, line in _lines(directory, names):
        if under_way is None:
            beginning = _cut_beginning(line)
            under_way = Check(GENESIS if beginning is None else None, witness)
        known = under_way.take(line, where)
        if known is not None and beginning is not None:
            explained = explained or _explains(known, beginning)
    under_way = under_way or Check(GENESIS, witness)
    if beginning is not None and not explained:
        under_way.fault(f"records before {beginning.seq} are missing, and no record tells why")
    found = under_way.verdict()
    return Report(len(names), found.first, found.head, found.faults)


def entries(directory: Path) -> Iterator[tuple[int, Entry]]:
    """Yield number and content of each record that can be read, unchecked.

    Raises NotFoundError (AUDIT_MISSING), OSError.
    """
    for _, line in _lines(directory, _names(directory)):
        try:
            known = read(line)
            yield known.seq, msgspec.convert(known.record, Entry)
        except (BrokenChainError, msgspec.ValidationError):
            continue  # `check` is what tells of these


def _names(directory: Path) -> list[str]:
    try:
        names = in_order(directory)
    except (FileNotFoundError, NotADirectoryError):
        names = []
    if not names:
        raise NotFoundError(
            f"no audit in {directory}",
            hint="name the directory that holds its *.jsonl files",
            code="AUDIT_MISSING",
        )
    return names


def _lines(directory: Path, names: list[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        with opened(directory / name) as file:
            for number, line in enumerate(read_lines(file), 1):
                yield f"{name} line {number}", line
                if len(line) > LINE_MAX:
                    break  # it comes in pieces: one fault is enough


def _cut_beginning(line: bytes) -> Link | None:
    """Return the first record where it is not the chain's first one."""
    try:
        known = read(line)
    except BrokenChainError:
        return None
    return known if known.seq > 1 else None


def _explains(known: Link, beginning: Link) -> bool:
    """Return whether a record tells that what was before `beginning` was dropped for room."""
    try:
        event = msgspec.convert(known.record, Entry).event
    except msgspec.ValidationError:
        return False
    return isinstance(event, AuditDropped) and (event.through, event.hash) == (
        beginning.seq - 1,
        beginning.prev,
    )
