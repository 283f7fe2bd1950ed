"""How a host treats its callers and their writes: as ours does, or as the original does.

Chosen once, when the daemon starts. A stock host's rights need no table: every caller is the
host's owner there, and all that a table would refuse, redact or keep apart follows from that.
"""

from dataclasses import dataclass
from typing import Final

from host.callers import HOST, Caller

__all__ = ["OURS", "STOCK", "Policy"]


@dataclass(frozen=True, slots=True)
class Policy:
    """`extensions`: there is something below /sheltie/v1/.

    `callers_apart`: a container that calls is itself, and keys that it hands over are kept beside
    the owner's. `every_write_restarts`: so does a write of what was there, and one of user-data.
    """

    name: str
    extensions: bool
    callers_apart: bool
    every_write_restarts: bool

    def caller(self, container: str) -> Caller:
        """Return whom the processes of a container count as."""
        return Caller(container) if self.callers_apart else HOST


OURS: Final = Policy("ours", extensions=True, callers_apart=True, every_write_restarts=False)
STOCK: Final = Policy("stock", extensions=False, callers_apart=False, every_write_restarts=True)
