"""Blobs that were pulled, kept compressed: a new image brings only what is missing.

STATE/images/blobs/sha256/HEX, as skopeo's --dest-shared-blob-dir has it. skopeo writes each aside
and renames it when its digest is right.
"""

import hashlib
from collections.abc import Collection, Iterable
from pathlib import Path

from contract.durable import ensure_directory
from host.image.layout import Descriptor

__all__ = ["Blobs"]


class Blobs:
    """The blobs below `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._home = directory / "sha256"

    def make(self) -> None:
        """Make the directory. Raises MachineError."""
        ensure_directory(self.directory)
        ensure_directory(self._home)

    def missing(self, wanted: Iterable[Descriptor]) -> list[Descriptor]:
        """Return which are not there, each once."""
        return [one for one in {one.digest: one for one in wanted}.values() if not self._has(one)]

    def drop_damaged(self) -> bool:
        """Remove blobs that have not their digest; return whether there were any."""
        damaged = [path for path in self._home.glob("*") if not _whole(path)]
        for path in damaged:
            path.unlink()
        return bool(damaged)

    def keep(self, digests: Collection[str]) -> None:
        """Remove all others. Raises OSError."""
        kept = {digest.removeprefix("sha256:") for digest in digests}
        for path in self._home.glob("*"):
            if path.name not in kept:
                path.unlink()

    def _has(self, one: Descriptor) -> bool:
        return self._path(one.digest).exists()

    def _path(self, digest: str) -> Path:
        return self._home / digest.removeprefix("sha256:")


def _whole(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == path.name
    except OSError:  # the disk cannot give it back
        return False
