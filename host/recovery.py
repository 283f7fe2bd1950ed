"""A state directory that is ill: what is wrong with it, and waiting until it is well."""

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Final

from contract import durable
from contract.errors import SheltieError
from host.directories import Places, is_ill, own_state
from host.store.files import FileStore

__all__ = ["RETRY_SECONDS", "Medium", "until_usable"]

RETRY_SECONDS: Final = 5.0
"""Between two looks."""
_PROBE: Final = ".probe"
_PROBE_SIZE: Final = 64 << 10


class Medium:
    """The state directory as something to write to. `problem` says why it is none; else empty."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._suspected = asyncio.Event()
        self.problem = ""

    def look(self) -> None:
        """Write to it."""
        if why := _unwritable(self._state):
            self.suspect(why)

    def suspect(self, why: str) -> None:
        """Take it for ill, until looking shows that it is not."""
        self.problem = f"settings cannot be changed: {why}"
        self._suspected.set()

    async def keep(self, retry: float) -> None:
        """Look every `retry` seconds while it is ill, and not at all while it is well."""
        while True:
            await self._suspected.wait()
            self._suspected.clear()
            while why := await asyncio.to_thread(_unwritable, self._state):
                self.problem = f"settings cannot be changed: {why}"
                await _rest(retry)
            self.problem = ""


async def until_usable(places: Places, retry: float) -> None:
    """Return once a daemon can begin on this state directory, or is to say what else is wrong."""
    while not await asyncio.to_thread(_usable, places):
        await _rest(retry)


async def _rest(seconds: float) -> None:
    # There is no event for a medium that is well again; cancellation ends this.
    await asyncio.sleep(seconds)


def _unwritable(state: Path) -> str:
    """Return why nothing can be written to `state`; empty where it can."""
    probe = state / _PROBE
    try:
        with contextlib.suppress(FileNotFoundError):
            durable.remove_file(probe)
        durable.write_file(probe, bytes(_PROBE_SIZE))
        durable.remove_file(probe)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        return f"{state} cannot be written: {why}"
    return ""


def _usable(places: Places) -> bool:
    """Do with the directory what a start does, and write to it."""
    try:
        lock = own_state(places)
        try:
            FileStore(places.state / "settings")
            durable.ensure_directory(places.state / "containers")
        finally:
            lock.release()
    except (SheltieError, OSError) as error:
        return not is_ill(error)
    return not _unwritable(places.state)
