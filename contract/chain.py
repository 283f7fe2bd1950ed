"""Records that cannot be bent unseen: each line holds the hash of the line before it.

A line is canonical JSON, `{"hash":H,"prev":P,"record":R,"seq":N,"v":1}` sorted and without blanks,
and a newline. H is the SHA-256 of the line's own text without its first member and newline, so that
nobody needs our code, or any particular JSON, to check it. P is the H before; the first record has
`seq` 1 and a P of zeros.

A chain tells of every change inside it. What was cut off its end is seen by who knows a later head:
a Head that lies elsewhere is the witness.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from contract.errors import SheltieError, UsageError

__all__ = [
    "GENESIS",
    "LINE_MAX",
    "BrokenChainError",
    "Check",
    "Head",
    "Link",
    "Verdict",
    "link",
    "read",
    "verify",
]

VERSION: Final = 1
LINE_MAX: Final = 256 << 10
"""Longest line in bytes; who writes records keeps them far below."""
FAULTS_MAX: Final = 100
"""Faults that a verdict names; more are counted by the last one."""

_LINE: Final = re.compile(rb'\{"hash":"([0-9a-f]{64})",(.*\})\n', re.DOTALL)
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_canonical: Final = msgspec.json.Encoder(order="sorted")


class BrokenChainError(SheltieError):
    """A line is not what its writer wrote, or not where the writer put it."""

    kind = "CHAIN_BROKEN"


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: the number and the hash of its last record."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> "Head":
        """Return the head that `str` wrote. Raises UsageError (HEAD_INVALID)."""
        number, _, digest = text.strip().partition(":")
        if not re.fullmatch(r"[0-9]{1,18}", number) or not _HASH.fullmatch(digest):
            raise UsageError(f"{text[:100]!r} is no head: NUMBER:HASH", code="HEAD_INVALID")
        return cls(int(number), digest)


GENESIS: Final = Head(0, "0" * 64)
"""What the first record follows."""


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line, read: record `record` follows `prev`."""

    hash: str
    prev: str
    record: dict[str, Any]
    seq: int
    v: int

    @property
    def head(self) -> Head:
        """The chain's end as of this record."""
        return Head(self.seq, self.hash)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found: from which record, to which head, and what is wrong, line by line."""

    first: int
    head: Head
    faults: tuple[str, ...]


def link(head: Head, record: Any) -> tuple[bytes, Head]:
    """Return the line that holds `record` behind `head`, and the new head.

    Raises UsageError (RECORD_TOO_LARGE).
    """
    seq = head.seq + 1
    body = _canonical.encode({"prev": head.hash, "record": record, "seq": seq, "v": VERSION})
    digest = hashlib.sha256(body).hexdigest()
    line = b'{"hash":"%s",%s\n' % (digest.encode(), body[1:])
    if len(line) > LINE_MAX:
        raise UsageError(f"a record of {len(line)} bytes is too large", code="RECORD_TOO_LARGE")
    return line, Head(seq, digest)


def read(line: bytes) -> Link:
    """Return what one whole line says, its hash checked. Raises BrokenChainError."""
    found = _LINE.fullmatch(line) if len(line) <= LINE_MAX else None
    if found is None:
        raise BrokenChainError("it is no line of a chain", code="CHAIN_BROKEN")
    if hashlib.sha256(b"{" + found[2]).hexdigest().encode() != found[1]:
        raise BrokenChainError("its hash does not fit its text", code="CHAIN_BROKEN")
    try:
        known = msgspec.json.decode(line, type=Link)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BrokenChainError(f"it cannot be read: {error}", code="CHAIN_BROKEN") from error
    if known.v != VERSION:
        why = f"its format is version {known.v}, this release reads {VERSION}"
        raise BrokenChainError(why, code="CHAIN_BROKEN")
    if _canonical.encode(known) + b"\n" != line:
        raise BrokenChainError("it is not in canonical form", code="CHAIN_BROKEN")
    return known


class Check:
    """A check under way. After a fault it goes on with what it finds, to name every one.

    `start` is what the first line must follow, None where the beginning is elsewhere. `witness` is
    a head that somebody kept: the chain must hold it.
    """

    def __init__(self, start: Head | None = GENESIS, witness: Head | None = None) -> None:
        self._head = start
        self._witness = witness
        self._seen = witness is not None and witness == start
        self._first = 0
        self._faults: list[str] = []
        self._more = 0

    def take(self, line: bytes, where: str) -> Link | None:
        """Check the next line, with its newline, which faults call `where`; return it if sound."""
        try:
            known = read(line)
        except BrokenChainError as error:
            self.fault(f"{where}: {error.message}")
            return None
        if why := _misplaced(known, self._head):
            self.fault(f"{where}: {why}")
        self._first = self._first or known.seq
        self._head = known.head
        if self._witness is not None and known.seq == self._witness.seq:
            self._seen = known.head == self._witness
        return known

    def fault(self, what: str) -> None:
        """Add a fault."""
        if len(self._faults) < FAULTS_MAX:
            self._faults.append(what)
        else:
            self._more += 1

    def verdict(self) -> Verdict:
        """Return what was found."""
        witness, head = self._witness, self._head or GENESIS
        faults = list(self._faults)
        if witness is not None and not self._seen:
            what = "does not hold"
            if not self._first <= witness.seq <= head.seq:
                what = "is cut off before" if head.seq < witness.seq else "begins behind"
            faults.append(f"the chain {what} its witness {witness}")
        if self._more:
            faults.append(f"and {self._more} more")
        return Verdict(self._first, head, tuple(faults))


def verify(
    lines: Iterable[bytes], *, start: Head | None = GENESIS, witness: Head | None = None
) -> Verdict:
    """Check a whole chain, offline; lines come with their newlines. The rest as for Check."""
    check = Check(start, witness)
    for number, line in enumerate(lines, 1):
        check.take(line, f"line {number}")
    return check.verdict()


def _misplaced(known: Link, head: Head | None) -> str:
    """Return what is wrong with where a line stands; nothing where it stands right."""
    if head is None:
        return "" if known.seq > 0 else f"record {known.seq} cannot be"
    if known.seq != head.seq + 1:
        return f"record {known.seq} stands where {head.seq + 1} belongs"
    if known.prev != head.hash:
        return f"record {known.seq} does not follow the {head.seq} before it"
    return ""
