"""The store's files as documents: JSON, each with a version number, refused when not understood."""

import os
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from contract import durable
from contract.errors import MachineError, SheltieError
from host.store.state import Handed, Origin

__all__ = [
    "FILE_MAX",
    "VERSION",
    "GenerationFile",
    "HandedFile",
    "LiveFile",
    "PendingFile",
    "encode",
    "read",
]

VERSION: Final = 1
FILE_MAX: Final = 16 << 20
"""Largest file read back in bytes: several of the API's largest bodies (2 MiB)."""

_T = TypeVar("_T")


class LiveFile(msgspec.Struct, forbid_unknown_fields=True):
    """live.json: what is committed."""

    version: int
    serial: int
    opened: str
    settings: dict[str, Any]
    origin: Origin = Origin()


class HandedFile(msgspec.Struct, forbid_unknown_fields=True):
    """handed.json: the keys handed over as of commit `serial`, and those from before it."""

    version: int
    serial: int
    keys: list[Handed]
    before: list[Handed]


class GenerationFile(msgspec.Struct, forbid_unknown_fields=True):
    """generations/NUMBER.json: a whole committed state."""

    version: int
    serial: int
    opened: str
    origin: Origin
    handed: list[Handed]
    settings: dict[str, Any]


class PendingFile(msgspec.Struct, forbid_unknown_fields=True):
    """pending/OWNER/NAME.json: a transaction; null is a name that goes."""

    version: int
    settings: dict[str, Any]


class _Versioned(msgspec.Struct):
    version: int


def encode(file: msgspec.Struct) -> bytes:
    """Return the bytes of a document, for eyes too."""
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


def read(path: Path, kind: type[_T]) -> _T | None:
    """Return the document at `path`, None where there is none.

    Raises MachineError: STORE_UNREADABLE, and STORE_FORMAT for the file of another release.
    """
    try:
        data = durable.read_file(path, FILE_MAX)
        version = msgspec.json.decode(data, type=_Versioned).version
        if version != VERSION:
            what = f"format version {version}, this release reads {VERSION}"
            raise _unreadable(path, what, "STORE_FORMAT")
        return msgspec.json.decode(data, type=kind)
    except FileNotFoundError:
        return None
    except MachineError:
        raise
    except (
        OSError,
        SheltieError,
        msgspec.DecodeError,
        UnicodeDecodeError,
        RecursionError,
    ) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise _unreadable(path, why, "STORE_UNREADABLE") from error


def _unreadable(path: Path, why: str, code: str) -> MachineError:
    hint = f"restore it from a backup, or move {path.parent} away to start without settings"
    return MachineError(f"cannot read {path}: {why}", hint=hint, code=code)
