"""The store's twin without a disk: what it holds ends with the process."""

from collections.abc import Mapping, Sequence
from typing import Any

from contract.errors import NotFoundError
from host.store.state import Generation, Live

__all__ = ["MemoryStore"]


class MemoryStore:
    """A Store in memory."""

    def __init__(self) -> None:
        self._live = Live()
        self._past: dict[int, Live] = {}
        self._pending: dict[tuple[str, str], dict[str, Any]] = {}

    def live(self) -> Live:
        """Return the committed state."""
        return self._live

    def replace(self, live: Live) -> None:
        """Make `live` the committed state."""
        self._live = live
        self._past[live.serial] = live

    def generations(self) -> Sequence[Generation]:
        """Return every commit."""
        return [Generation(number, live.origin) for number, live in self._past.items()]

    def generation(self, number: int) -> Live:
        """Return the state of a commit. Raises NotFoundError (GENERATION_GONE)."""
        if number not in self._past:
            raise NotFoundError(f"there is no generation {number}", code="GENERATION_GONE")
        return self._past[number]

    @property
    def problems(self) -> Sequence[str]:
        """Memory has none."""
        return ()

    def pending(self, owner: str, name: str) -> Mapping[str, Any]:
        """Return the values of a transaction; empty when there is none."""
        return dict(self._pending.get((owner, name), {}))

    def put(self, owner: str, name: str, values: Mapping[str, Any]) -> None:
        """Make `values` the transaction's; none of them removes it."""
        if values:
            self._pending[owner, name] = dict(values)
        else:
            self._pending.pop((owner, name), None)

    def names(self, owner: str) -> Sequence[str]:
        """Return the names of the owner's transactions."""
        return sorted(name for whose, name in self._pending if whose == owner)
