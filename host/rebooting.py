"""A reboot that waits for who is in admin, up to a limit. Disabling admin is a way not to wait."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from contract.errors import SheltieError
from contract.event import Event, RebootDeferred
from contract.updatereport import Waiting
from host.logline import event
from host.reboot import reboot

__all__ = ["WAIT_SECONDS", "Reboots"]

WAIT_SECONDS: Final = 900
"""How long a reboot waits where `settings.updates.reboot-wait` does not say."""
PACE_SECONDS: Final = 10.0

_log = logging.getLogger("host")


class Reboots:
    """Orders reboots. `sessions` counts who is in, `limit` says how long to wait for them."""

    def __init__(
        self,
        command: Callable[[], Sequence[str]],
        sessions: Callable[[], Awaitable[int]],
        limit: Callable[[], float],
        note: Callable[[Event], object],
        pace: float = PACE_SECONDS,
    ) -> None:
        self._command, self._sessions, self._limit = command, sessions, limit
        self._note, self._pace = note, pace
        self._task: asyncio.Task[None] | None = None
        self.waiting: Waiting | None = None

    @property
    def problems(self) -> list[str]:
        """A sentence about a reboot that waits."""
        if self.waiting is None:
            return []
        many = f"{self.waiting.sessions} session{'s' * (self.waiting.sessions > 1)}"
        return [f"a reboot waits for {many} in admin, until {self.waiting.until} at the latest"]

    async def order(self) -> None:
        """Reboot now, or see to it once nobody is in. Raises FailedError (REBOOT_FAILED)."""
        if self._task is not None and not self._task.done():
            return  # it is ordered already
        seconds = self._limit()
        sessions = await self._sessions() if seconds else 0
        if not sessions:
            await reboot(self._command())
            return
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        self.waiting = Waiting(sessions, until.isoformat(timespec="seconds"))
        self._note(RebootDeferred(sessions, int(seconds)))
        _log.info(event("reboot-deferred", sessions=sessions, seconds=seconds))
        self._task = asyncio.create_task(self._wait(time.monotonic() + seconds))

    async def close(self) -> None:
        """Forget a reboot that waits."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        self.waiting = None

    async def _wait(self, deadline: float) -> None:
        try:
            while self.waiting is not None and time.monotonic() < deadline:
                await asyncio.sleep(min(self._pace, max(0.0, deadline - time.monotonic())))
                sessions = await self._sessions()
                if not sessions:
                    break
                self.waiting = Waiting(sessions, self.waiting.until)
            await reboot(self._command())
        except SheltieError as error:
            _log.error(event("reboot-failed", why=error.line()))
        finally:
            self.waiting = None
