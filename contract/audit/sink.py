"""The seam behind which an audit's lines are kept, and its twin without a disk."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from contract.chain import GENESIS, Head
from contract.event import Event

__all__ = ["MemorySink", "Opened", "Sink"]


@dataclass(frozen=True, slots=True)
class Opened:
    """What was there: the chain's head, and the settings' number that it knew of last."""

    head: Head = GENESIS
    generation: int | None = None


class Sink(Protocol):
    """Keeps lines in order, for one writer. Whatever the medium refuses is an OSError."""

    def open(self) -> Opened:
        """Find the end of what there is, and repair it where a writer was interrupted."""

    def append(self, line: bytes, seq: int) -> None:
        """Keep the line of record `seq`: durable once this returns, else as if never tried."""

    def news(self) -> Sequence[Event]:
        """Return, once, what the audit must tell about its own keeping."""

    def drop(self, segment: str) -> None:
        """Let go of the oldest part, of which `news` has told."""

    def lines(self, since: int) -> Iterator[tuple[int, bytes]]:
        """Yield number and line of each record behind number `since`."""


class MemorySink:
    """A Sink that ends with the process."""

    def __init__(self) -> None:
        self.kept: list[tuple[int, bytes]] = []

    def open(self) -> Opened:
        """Begin."""
        return Opened()

    def append(self, line: bytes, seq: int) -> None:
        """Keep a line."""
        self.kept.append((seq, line))

    def news(self) -> Sequence[Event]:
        """Nothing ever happens here."""
        return ()

    def drop(self, segment: str) -> None:
        """Nothing is ever too much."""

    def lines(self, since: int) -> Iterator[tuple[int, bytes]]:
        """Yield what was kept."""
        yield from (one for one in list(self.kept) if one[0] > since)
