"""When a container that ended, or could not be started, is started again. Pure."""

from dataclasses import dataclass, field
from typing import Final

__all__ = ["FIRST_SECONDS", "HEALTHY_SECONDS", "MOST_SECONDS", "Backoff"]

FIRST_SECONDS: Final = 1.0
MOST_SECONDS: Final = 45.0
"""Upstream's fixed delay (`RestartSec=45`) is where ours ends."""
HEALTHY_SECONDS: Final = 60.0
"""Whoever ran this long is well, and begins again with the first delay."""


@dataclass
class Backoff:
    """Delays that double from FIRST_SECONDS to MOST_SECONDS and begin anew after health.

    `failures` counts the runs in a row that did not last. None is the last one: a door that gives
    up is shut when the host gets well again.
    """

    failures: int = field(default=0, init=False)
    _next: float = field(default=FIRST_SECONDS, init=False)

    def after(self, ran: float) -> float:
        """Return the seconds to wait after a run of `ran` seconds, 0 for one that never began."""
        if ran >= HEALTHY_SECONDS:
            self.reset()
        delay = self._next
        self.failures += 1
        self._next = min(delay * 2, MOST_SECONDS)
        return delay

    def reset(self) -> None:
        """Begin anew: it was well, or somebody changed what is wanted."""
        self.failures, self._next = 0, FIRST_SECONDS
