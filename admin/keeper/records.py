"""The sessions, told to admin's audit: in order, and beside the keeper's work, which waits not."""

import asyncio
import logging
from pathlib import Path

from admin import audit
from admin.keeper.log import event
from admin.ssh.control import Event as Heard
from contract.errors import SheltieError
from contract.event import Login, SessionEnded, SessionStarted

__all__ = ["Records"]

_log = logging.getLogger(__name__)

WAITING_MAX = 4096
"""Events that wait for a medium that is slow."""
KINDS: dict[str, type[SessionStarted] | type[SessionEnded]] = {
    "session": SessionStarted,
    "session-end": SessionEnded,
}


class Records:
    """Writes to the audit in `directory`. What cannot be written stands in the log, and is lost."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._waiting: asyncio.Queue[SessionStarted | SessionEnded] = asyncio.Queue(WAITING_MAX)

    def heard(self, told: Heard) -> None:
        """Take what the monitor told; other things than sessions are the log's alone."""
        kind = KINDS.get(told.what)
        if kind is None:
            return
        login = Login(told.user, told.peer, told.key, told.access)
        try:
            self._waiting.put_nowait(kind(told.session, login))
        except asyncio.QueueFull:
            self._lost(f"{WAITING_MAX} events wait already", told.session)

    async def run(self) -> None:
        """Write what comes, until cancelled."""
        while True:
            one = await self._waiting.get()
            try:
                await asyncio.to_thread(audit.note, one, self._directory)
            except SheltieError as error:
                self._lost(error.message, one.session)

    def _lost(self, why: str, session: str) -> None:
        _log.error(event("audit-lost", why=why, session=session))
