"""The store's twin without a disk: what it holds ends with the process."""

from collections.abc import Mapping, Sequence
from typing import Any

from host.store.state import Live

__all__ = ["MemoryStore"]


class MemoryStore:
    """A Store in memory."""

    def __init__(self) -> None:
        self._live = Live()
        self._pending: dict[tuple[str, str], dict[str, Any]] = {}

    def live(self) -> Live:
        """Return the committed state."""
        return self._live

    def replace(self, live: Live) -> None:
        """Make `live` the committed state."""
        self._live = live

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
