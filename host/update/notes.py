"""Why a version was set aside: what its health check or the operator said, kept over reboots.

That it was, the ESP's names tell; these are words for people, and a lost file costs no more.
"""

import logging
from pathlib import Path
from typing import Final

import msgspec

from contract import durable
from contract.errors import SheltieError
from host.logline import event
from host.store.transactions import utc_now

__all__ = ["SILENT", "Note", "forget", "put", "read"]

FILE_MAX: Final = 1 << 20
VERSION: Final = 1
WHY_MAX: Final = 500
SILENT: Final = "it did not come up: a panic, a hang, or a reset before its health was checked"
"""What is said where nobody said anything."""

_log = logging.getLogger("host.update")


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`requested` where an operator set the version aside."""

    why: str = SILENT
    at: str = ""
    requested: bool = False


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    notes: dict[str, Note]


def read(file: Path) -> dict[str, Note]:
    """Return the notes by version; none where they cannot be read."""
    try:
        kept = msgspec.json.decode(durable.read_file(file, FILE_MAX), type=_File)
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, SheltieError) as error:
        _log.warning(event("unreadable", file=file, why=error))
        return {}
    return kept.notes if kept.version == VERSION else {}


def put(file: Path, version: str, why: str, *, requested: bool = False) -> None:
    """Note why a version is set aside, in place of what was noted before."""
    note = Note(" ".join(why.split())[:WHY_MAX], utc_now(), requested)
    _write(file, {**read(file), version: note})


def forget(file: Path, version: str) -> None:
    """Remove what was noted of a version: it is tried again."""
    notes = read(file)
    if notes.pop(version, None) is not None:
        _write(file, notes)


def _write(file: Path, notes: dict[str, Note]) -> None:
    try:
        durable.ensure_directory(file.parent)
        durable.write_file(file, msgspec.json.encode(_File(VERSION, notes)))
    except (OSError, SheltieError) as error:
        _log.error(event("unwritable", file=file, why=error))
