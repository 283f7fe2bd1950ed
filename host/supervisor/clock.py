"""Time as the supervisor needs it: a seam, so that tests need not wait."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = ["Clock", "RealClock", "utc_in"]


class Clock(Protocol):
    """A clock that only goes forward, and waiting by it. Seconds."""

    def now(self) -> float:
        """Return the time since some moment in the past."""

    async def sleep(self, seconds: float) -> None:
        """Return after so long."""


class RealClock:
    """The machine's own, counting suspended time too (CLOCK_BOOTTIME)."""

    def now(self) -> float:
        """Return the time since boot."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


def utc_in(seconds: float) -> str:
    """Return the time of day after so long, as RFC 3339 in UTC."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
