"""Work that several may wait for, and that goes on when they stop waiting for it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from host.image.seam import Tell

__all__ = ["Job"]

_T = TypeVar("_T")


class Job(Generic[_T]):
    """A piece of work with a result. It begins at once.

    When the last who waits is cancelled, so is the work; when patience ends, it goes on.
    """

    def __init__(self, work: Callable[[Tell], Coroutine[Any, Any, _T]]) -> None:
        self.said = ""
        self._told: list[Tell] = []
        self._alone = False
        self._task = asyncio.create_task(work(self._say))
        self._task.add_done_callback(_heed)

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._task.done()

    async def wait(self, tell: Tell, patience: float | None) -> _T | None:
        """Return the result, or None when it takes longer; raise what the work raised."""
        self._told.append(tell)
        if self.said:
            tell(self.said)
        try:
            await asyncio.wait({self._task}, timeout=patience)
            if self._task.done():
                return self._task.result()
            self._alone = True
            return None
        finally:
            self._told.remove(tell)
            if not self._told and not self._alone:
                await self.cancel()

    async def cancel(self) -> None:
        """End it."""
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})

    def _say(self, sentence: str) -> None:
        self.said = sentence
        for tell in self._told:
            tell(sentence)


def _heed(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled():
        task.exception()  # who waits gets it; when nobody does, the next attempt finds out
