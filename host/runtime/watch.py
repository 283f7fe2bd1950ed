"""Watching a process by its pidfd: no polling, and no pid that means somebody else by now."""

import asyncio
import contextlib
import os
import select
import signal

__all__ = ["Watch"]


class Watch:
    """A process of any parent (pidfd_open(2)). Raises ProcessLookupError when it is gone."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)
        self._gone: asyncio.Future[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether the process has not ended yet."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return not poll.poll(0)

    async def gone(self) -> None:
        """Return once the process has ended. Several may wait, and give up waiting."""
        if self._gone is None:
            loop = asyncio.get_running_loop()
            self._gone = loop.create_future()
            loop.add_reader(self._descriptor, self._note)
        await asyncio.shield(self._gone)

    def kill(self, number: int) -> None:
        """Send a signal; a process that has ended gets none."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)

    def close(self) -> None:
        """Watch no longer; who still waits is cancelled. Idempotent."""
        if self._descriptor < 0:
            return
        if self._gone is not None and not self._gone.done():
            asyncio.get_running_loop().remove_reader(self._descriptor)
            self._gone.cancel()
        os.close(self._descriptor)
        self._descriptor = -1

    def _note(self) -> None:
        if self._gone is not None and not self._gone.done():
            asyncio.get_running_loop().remove_reader(self._descriptor)
            self._gone.set_result(None)
