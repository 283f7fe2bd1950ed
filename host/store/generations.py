"""Commits that are kept, one file each: to look back at, to go back to, and to fall back on.

A generation is written after the commit that it copies. Failing to write one fails no commit: the
store says so, and writes the next one.
"""

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from contract import durable
from contract.errors import NotFoundError, SheltieError
from host.store.documents import VERSION, GenerationFile, encode, read
from host.store.state import Generation, Live

__all__ = ["BYTES_MAX", "KEPT", "Generations"]

KEPT: Final = 100
"""Commits that are kept."""
BYTES_MAX: Final = 64 << 20
"""Bytes of them all; the live one and the one before it stay in any case."""
_ALWAYS: Final = 2

_NAME: Final = re.compile(r"([0-9]{1,15})\.json")


class Generations:
    """The files of `directory`, at most `kept` of them. Raises OSError, MachineError."""

    def __init__(self, directory: Path, kept: int = KEPT, bytes_max: int = BYTES_MAX) -> None:
        self._directory = directory
        self._kept = kept
        self._bytes_max = bytes_max
        self._known: dict[int, tuple[int, Generation | None]] = {}  # in order: size, and what it is
        durable.ensure_directory(directory)
        for scratch in directory.glob(".*.json.*"):
            with contextlib.suppress(OSError):  # a medium that may only be read
                scratch.unlink()
        names = filter(None, map(_NAME.fullmatch, os.listdir(directory)))  # noqa: PTH208  names
        for number in sorted(int(name[1]) for name in names):
            self._known[number] = (self._path(number).stat().st_size, None)

    @property
    def last(self) -> int:
        """The highest number, 0 where there is none."""
        return max(self._known, default=0)

    def __contains__(self, number: int) -> bool:
        return number in self._known

    def listed(self) -> Sequence[Generation]:
        """Return those that can be read, the oldest first."""
        for number, (size, generation) in self._known.items():
            if generation is None:
                with contextlib.suppress(SheltieError):
                    read_now = Generation(number, self.get(number).origin)
                    self._known[number] = (size, read_now)
        return [generation for _, generation in self._known.values() if generation is not None]

    def get(self, number: int) -> Live:
        """Return a state. Raises NotFoundError (GENERATION_GONE), MachineError."""
        file = read(self._path(number), GenerationFile) if number in self._known else None
        if file is None:
            hint = "`hostd generations list` shows those that are kept"
            raise NotFoundError(
                f"there is no generation {number}", hint=hint, code="GENERATION_GONE"
            )
        return Live(file.settings, tuple(file.handed), file.serial, file.opened, file.origin)

    def last_good(self) -> Live | None:
        """Return the latest state that can be read."""
        for number in sorted(self._known, reverse=True):
            with contextlib.suppress(SheltieError):
                return self.get(number)
        return None

    def keep(self, live: Live) -> None:
        """Write a state, and let go of the oldest ones that are too many. Raises OSError."""
        handed = list(live.handed)
        file = GenerationFile(
            VERSION, live.serial, live.opened, live.origin, handed, dict(live.settings)
        )
        data = encode(file)
        durable.write_file(self._path(live.serial), data)
        self._known[live.serial] = (len(data), Generation(live.serial, live.origin))
        self._thin_out()

    def _thin_out(self) -> None:
        size = sum(one for one, _ in self._known.values())
        for number in sorted(self._known)[:-_ALWAYS]:
            if len(self._known) <= self._kept and size <= self._bytes_max:
                break
            # Not made durable by itself: one too many after a power cut is no harm.
            self._path(number).unlink(missing_ok=True)
            size -= self._known.pop(number)[0]

    def _path(self, number: int) -> Path:
        return self._directory / f"{number}.json"
