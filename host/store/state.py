"""What the daemon keeps of the settings, and the seam behind which it is kept.

Keys that a caller handed over stand beside the owner's settings, never among them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

__all__ = ["Generation", "Handed", "Live", "Origin", "Store"]


class Handed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A plain key line that `caller` (its user `uid`) handed over at `since` (RFC 3339 UTC)."""

    key: str
    caller: str
    uid: int
    since: str


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a state comes from: when it was committed, by whom, and which names changed.

    `by` is `CALLER uid N`. `restored` is the generation that it brought back, 0 for none.
    """

    at: str = ""
    by: str = ""
    changed: tuple[str, ...] = ()
    restored: int = 0


NOWHERE = Origin()


class Generation(msgspec.Struct, frozen=True):
    """A commit that is kept: its number, and where it comes from."""

    number: int
    origin: Origin


@dataclass(frozen=True, slots=True)
class Live:
    """The committed state. `settings` maps dotted names to values.

    `serial` counts commits; `opened` is when admin was last switched on (RFC 3339 UTC, or empty).
    """

    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    handed: tuple[Handed, ...] = ()
    serial: int = 0
    opened: str = ""
    origin: Origin = NOWHERE


class Store(Protocol):
    """Keeps one Live with a number of those before it, the generations.

    And, for each owner, named pending transactions that never outlive a start; a value of None is
    a name that goes.

    Each method is atomic. They raise MachineError (STORE_UNUSABLE) when the medium fails.
    """

    def live(self) -> Live:
        """Return the committed state."""

    def replace(self, live: Live) -> None:
        """Make `live` the committed state: durable once this returns, all of it or nothing."""

    def generations(self) -> Sequence[Generation]:
        """Return the commits that are kept, the oldest first and the live one last."""

    def generation(self, number: int) -> Live:
        """Return the state of a kept commit. Raises NotFoundError (GENERATION_GONE)."""

    @property
    def problems(self) -> Sequence[str]:
        """What does not work, in sentences; none when all is well."""

    def pending(self, owner: str, name: str) -> Mapping[str, Any]:
        """Return the values of a transaction; empty when there is none."""

    def put(self, owner: str, name: str, values: Mapping[str, Any]) -> None:
        """Make `values` the transaction's; none of them removes it."""

    def names(self, owner: str) -> Sequence[str]:
        """Return the names of the owner's transactions."""
