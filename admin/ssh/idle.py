"""How long a session may lie still: a warning first, then its end."""

import asyncio
from collections.abc import Callable

__all__ = ["Idle"]

WARNING_SECONDS = 60.0
"""How long before the end the warning comes; half of the time where that is shorter."""


class Idle:
    """A clock that `touch` sets back; 0 seconds stand for never."""

    def __init__(
        self, seconds: float, warn: Callable[[float], None], end: Callable[[], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds, self._warn, self._end = seconds, warn, end
        self._warning = min(WARNING_SECONDS, seconds / 2)
        self._touched = self._loop.time()
        self._warned = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to count."""
        if self._seconds:
            self.touch()
            self._look()

    def stop(self) -> None:
        """Count no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def touch(self) -> None:
        """Something happened."""
        self._touched = self._loop.time()
        self._warned = False

    def _look(self) -> None:
        left = self._touched + self._seconds - self._loop.time()
        if left <= 0:
            self._end()
            return
        if left <= self._warning and not self._warned:
            self._warned = True
            self._warn(round(left, 1))
        wait = left if self._warned else left - self._warning
        self._timer = self._loop.call_later(max(wait, 0.05), self._look)
