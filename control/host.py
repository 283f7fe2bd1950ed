"""The host as control needs it: which kind it is, and what both kinds do.

A host of ours tells its state and keeps handed-over keys apart by itself; a stock host (upstream's
API alone) knows settings only, and control does the rest.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Final, Protocol

from contract.keyline import KeyLine
from contract.status import HostStatus

__all__ = ["ADMIN", "CONTROL", "STATUS_URI", "Effect", "Host"]

ADMIN: Final = "admin"
CONTROL: Final = "control"
STATUS_URI: Final = "/sheltie/v1/status"


class Effect(Enum):
    """What enabling did."""

    NOTHING = "nothing"
    """All was so already."""
    CHANGED = "changed"
    """Admin was enabled, or keys were added beside those who are in."""
    RESTARTED = "restarted"
    """A stock host started an admin anew that was up already: whoever was in is out."""


class Host(Protocol):
    """One host. Methods raise the SheltieError of what went wrong."""

    is_stock: bool
    """Whether it offers upstream's API alone."""

    def enable(self, keys: Sequence[KeyLine]) -> Effect:
        """Enable admin and hand `keys` over, in one transaction."""

    def disable(self) -> bool:
        """Disable admin and take handed-over keys back; False when it was disabled already."""

    def status(self) -> HostStatus:
        """Return how things stand; what a stock host does not tell is empty."""
