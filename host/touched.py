"""Whether somebody could be root on the host since its verified image was booted: a flag in STATE.

It is set by whatever leads to root through admin, and goes with the next boot of a verified image.
A hostile root can remove it: only what left the host before counts against one (docs/updates.md).
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

import msgspec

from contract import durable
from contract.errors import SheltieError
from contract.event import Event, HostTouched, HostVerified
from contract.status import TouchedStatus
from host.logline import event
from host.store.transactions import utc_now

__all__ = ["Touched"]

NAME: Final = "touched.json"
FILE_MAX: Final = 1 << 16
VERSION: Final = 1

_log = logging.getLogger("host")


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    boot: str
    since: str
    by: str


class Touched:
    """The flag of a host that runs from a verified image; `boot` is the id of this boot."""

    def __init__(self, file: Path, boot: str, note: Callable[[Event], object]) -> None:
        self._file, self._boot, self._note = file, boot, note
        self.status: TouchedStatus | None = None

    @classmethod
    def below(cls, state: Path, boot: str, note: Callable[[Event], object]) -> Self:
        """Return the flag of a state directory."""
        return cls(state / NAME, boot, note)

    def begin(self) -> None:
        """Find the flag; one of another boot goes."""
        found = self._read()
        if found is None:
            return
        if found.boot == self._boot:
            self.status = TouchedStatus(found.since, found.by)
            return
        try:
            durable.remove_file(self._file)
        except OSError as error:
            _log.error(event("unwritable", file=self._file, why=error.strerror))
        self._note(HostVerified(found.since))

    def touch(self, by: str) -> None:
        """Set the flag; the first time counts."""
        if self.status is not None:
            return
        self.status = TouchedStatus(utc_now(), by)
        self._note(HostTouched(by))
        kept = _File(VERSION, self._boot, self.status.since, by)
        try:
            durable.write_file(self._file, msgspec.json.encode(kept))
        except OSError as error:  # the door stays open on a full disk; the audit has it
            _log.error(event("unwritable", file=self._file, why=error.strerror))

    def _read(self) -> _File | None:
        try:
            return msgspec.json.decode(durable.read_file(self._file, FILE_MAX), type=_File)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, SheltieError) as error:
            # Who could break it was root: it counts as set, since nobody knows when.
            _log.warning(event("unreadable", file=self._file, why=error))
            return _File(VERSION, self._boot, utc_now(), "somebody who broke the flag")
