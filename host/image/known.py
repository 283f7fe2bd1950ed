"""What is known of images: which was pulled for a source, and which was good for a container.

One file, STATE/images/known.json. A file that cannot be written keeps no door shut.
"""

import logging
from pathlib import Path
from typing import Final

import msgspec

from contract.durable import read_file, write_file
from contract.errors import SheltieError
from host.logline import event

__all__ = ["Known", "Memory", "Seen"]

VERSION: Final = 1
_SIZE_MAX: Final = 4 << 20
_log = logging.getLogger("host.image")


class Seen(msgspec.Struct, frozen=True):
    """An image that was brought for `source`: since when (RFC 3339), and what accepted it."""

    source: str
    digest: str
    since: str
    trust: str


class Known(msgspec.Struct, frozen=True):
    """`pulled` by source, `good` by container."""

    pulled: dict[str, Seen] = {}
    good: dict[str, Seen] = {}
    version: int = VERSION


class Memory:
    """The file at `path`. `broken` when it was there and could not be read: then it begins anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.broken = False
        self._known = Known()

    def load(self) -> None:
        """Read the file."""
        try:
            known = msgspec.json.decode(read_file(self._path, _SIZE_MAX), type=Known)
            if known.version != VERSION:
                raise msgspec.ValidationError(f"version {known.version}")
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, SheltieError) as error:
            self.broken = True
            _log.error(event("images-forgotten", file=self._path, why=error))
            return
        self._known = known

    def pulled(self, source: str) -> Seen | None:
        """Return what was last brought for a source."""
        return self._known.pulled.get(source)

    def good(self, container: str) -> Seen | None:
        """Return the last good image of a container."""
        return self._known.good.get(container)

    def note_pulled(self, seen: Seen) -> Seen:
        """Remember what was brought; what was known as such keeps its time. Return what counts."""
        former = self._known.pulled.get(seen.source)
        if former is not None and (former.digest, former.trust) == (seen.digest, seen.trust):
            return former
        pulled = {**self._known.pulled, seen.source: seen}
        self._keep(Known(pulled, self._known.good))
        return seen

    def note_good(self, container: str, seen: Seen) -> None:
        """Remember what was good."""
        if self._known.good.get(container) != seen:
            self._keep(Known(self._known.pulled, {**self._known.good, container: seen}))

    def forget(self, present: set[str], containers: set[str]) -> None:
        """Drop what speaks of images that are gone, or of containers that nobody has."""
        pulled = {key: one for key, one in self._known.pulled.items() if one.digest in present}
        good = {key: one for key, one in self._known.good.items() if key in containers}
        if (pulled, good) != (self._known.pulled, self._known.good):
            self._keep(Known(pulled, good))

    def _keep(self, known: Known) -> None:
        self._known = known
        try:
            write_file(self._path, msgspec.json.encode(known))
        except OSError as error:
            _log.warning(event("images-unwritten", file=self._path, why=error.strerror))
