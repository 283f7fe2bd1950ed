"""The host as control needs it: which kind it is, and what both kinds do.

A host of ours tells its state and keeps handed-over keys apart by itself; a stock host (upstream's
API alone) knows settings only, and control does the rest.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from contract.keyline import KeyLine
from contract.status import HostStatus

__all__ = ["ADMIN", "CONTROL", "STATUS_URI", "Host"]

ADMIN: Final = "admin"
CONTROL: Final = "control"
STATUS_URI: Final = "/sheltie/v1/status"


class Host(Protocol):
    """One host. Methods raise the SheltieError of what went wrong."""

    is_stock: bool
    """Whether it offers upstream's API alone."""

    def enable(self, keys: Sequence[KeyLine]) -> bool:
        """Enable admin and hand `keys` over, in one transaction; False when all was so already."""

    def disable(self) -> bool:
        """Disable admin and take handed-over keys back; False when it was disabled already."""

    def status(self) -> HostStatus:
        """Return how things stand; what a stock host does not tell is empty."""
