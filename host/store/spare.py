"""The store's stand-in while its medium is ill: what can be read is shown, nothing is written."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Never

from contract.errors import MachineError, NotFoundError
from host.store.documents import HandedFile, LiveFile, read
from host.store.state import Generation, Live

__all__ = ["SpareStore"]


class SpareStore:
    """A Store over what `directory` lets read, without settings where it lets nothing; `why` not.

    It opens nothing for writing, so that it works where a FileStore cannot begin.
    """

    def __init__(self, directory: Path, why: str) -> None:
        self._why = why
        self._live = _readable(directory)

    def live(self) -> Live:
        """Return the committed state, as far as it could be read."""
        return self._live

    def replace(self, live: Live) -> None:
        """Refuse. Raises MachineError (STORE_UNUSABLE)."""
        del live
        self._refuse()

    def generations(self) -> Sequence[Generation]:
        """Return none."""
        return ()

    def generation(self, number: int) -> Live:
        """Raise NotFoundError (GENERATION_GONE)."""
        raise NotFoundError(
            f"generation {number} cannot be read now", hint=self._why, code="GENERATION_GONE"
        )

    @property
    def problems(self) -> Sequence[str]:
        """Say that settings cannot be changed, and why."""
        shown = f"generation {self._live.serial} is shown" if self._live.serial else "none is known"
        return [f"settings cannot be changed, {shown}: {self._why}"]

    def pending(self, owner: str, name: str) -> Mapping[str, Any]:
        """Return nothing."""
        return {}

    def put(self, owner: str, name: str, values: Mapping[str, Any]) -> None:
        """Refuse to keep anything. Raises MachineError (STORE_UNUSABLE)."""
        if values:
            self._refuse()

    def names(self, owner: str) -> Sequence[str]:
        """Return none."""
        return ()

    def _refuse(self) -> Never:
        raise MachineError(
            f"Data store error: {self._why}",
            hint="it is tried again every few seconds",
            code="STORE_UNUSABLE",
        )


def _readable(directory: Path) -> Live:
    try:
        file = read(directory / "live.json", LiveFile)
        handed = read(directory / "handed.json", HandedFile)
    except MachineError:
        return Live()
    if file is None:
        return Live()
    handed = handed or HandedFile(1, 0, [], [])
    keys = handed.before if handed.serial > file.serial else handed.keys
    return Live(file.settings, tuple(keys), file.serial, file.opened, file.origin)
