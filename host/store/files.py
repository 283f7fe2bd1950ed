"""The store on disk: live.json, handed.json and pending/OWNER/NAME.json in one directory.

The rename of live.json is the one moment at which a commit happens. handed.json is written before
it, marked with the serial number of the commit that it belongs to and holding the keys from before
that commit too; whichever serial live.json bears says which of the two lists is true.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import msgspec

from contract import durable
from contract.errors import MachineError, SheltieError
from host.store.state import Handed, Live

__all__ = ["FileStore"]

VERSION = 1
FILE_MAX = 16 << 20
"""Largest file read back in bytes: several of the API's largest bodies (2 MiB)."""

_T = TypeVar("_T")


class _LiveFile(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    serial: int
    opened: str
    settings: dict[str, Any]


class _HandedFile(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    serial: int
    keys: list[Handed]
    before: list[Handed]


class _PendingFile(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    settings: dict[str, Any]


class FileStore:
    """A Store in `directory`, which one process writes. Opening it drops what was pending.

    Raises MachineError: STORE_UNREADABLE names a file that is there and cannot be understood
    (nothing is reset silently), STORE_UNUSABLE and DIRECTORY_UNUSABLE what the medium refuses.
    """

    def __init__(self, directory: Path) -> None:
        self._live_file = directory / "live.json"
        self._handed_file = directory / "handed.json"
        self._pending = directory / "pending"
        self._handed_stale = False
        durable.ensure_directory(directory)
        with _medium("opening"):
            _sweep(directory)
            shutil.rmtree(self._pending, ignore_errors=True)
        durable.ensure_directory(self._pending)
        self._live = self._load()

    def live(self) -> Live:
        """Return the committed state."""
        return self._live

    def replace(self, live: Live) -> None:
        """Make `live` the committed state: durable once this returns, all of it or nothing."""
        if live.serial <= self._live.serial:
            raise ValueError(f"serial {live.serial} does not follow {self._live.serial}")
        with _medium("commit"):
            if live.handed != self._live.handed or self._handed_stale:
                self._handed_stale = True  # until the rename of live.json makes it true
                self._write_handed(live)
            file = _LiveFile(VERSION, live.serial, live.opened, dict(live.settings))
            durable.write_file(self._live_file, _encode(file))
        self._handed_stale = False
        self._live = live

    def pending(self, owner: str, name: str) -> Mapping[str, Any]:
        """Return the values of a transaction; empty when there is none."""
        found = _read(self._path(owner, name), _PendingFile)
        return found.settings if found else {}

    def put(self, owner: str, name: str, values: Mapping[str, Any]) -> None:
        """Make `values` the transaction's; none of them removes it."""
        path = self._path(owner, name)
        with _medium("set"):
            if values:
                durable.ensure_directory(path.parent)
                durable.write_file(path, _encode(_PendingFile(VERSION, dict(values))))
            elif path.exists():
                durable.remove_file(path)

    def names(self, owner: str) -> Sequence[str]:
        """Return the names of the owner's transactions."""
        directory = self._pending / quote(owner, safe="")
        with _medium("list"):
            if not directory.is_dir():
                return []
            names = (path.name for path in directory.iterdir())
            return sorted(unquote(name[1:-5]) for name in names if _is_ours(name))

    def _path(self, owner: str, name: str) -> Path:
        # The leading letter keeps a name such as ".." or "" an ordinary file name.
        return self._pending / quote(owner, safe="") / f"t{quote(name, safe='')}.json"

    def _load(self) -> Live:
        file = _read(self._live_file, _LiveFile) or _LiveFile(VERSION, 0, "", {})
        keys = _read(self._handed_file, _HandedFile) or _HandedFile(VERSION, 0, [], [])
        # A crash lay between the two renames: the commit did not happen, and the next commit must
        # not make its keys true by reaching their serial number.
        self._handed_stale = keys.serial > file.serial
        handed = keys.before if self._handed_stale else keys.keys
        return Live(file.settings, tuple(handed), file.serial, file.opened)

    def _write_handed(self, live: Live) -> None:
        file = _HandedFile(VERSION, live.serial, list(live.handed), list(self._live.handed))
        durable.write_file(self._handed_file, _encode(file))


def _is_ours(name: str) -> bool:
    return name.startswith("t") and name.endswith(".json")


def _sweep(directory: Path) -> None:
    """Remove scratch files that a killed writer left (contract.durable names them `.NAME.HEX`)."""
    for name in ("live.json", "handed.json"):
        for scratch in directory.glob(f".{name}.*"):
            scratch.unlink(missing_ok=True)


def _encode(file: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


def _read(path: Path, kind: type[_T]) -> _T | None:
    try:
        file = msgspec.json.decode(durable.read_file(path, FILE_MAX), type=kind)
    except FileNotFoundError:
        return None
    except (
        OSError,
        SheltieError,
        msgspec.DecodeError,
        UnicodeDecodeError,
        RecursionError,
    ) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise _unreadable(path, why) from error
    version = getattr(file, "version", None)
    if version != VERSION:
        raise _unreadable(path, f"format version {version}, this release reads {VERSION}")
    return file


def _unreadable(path: Path, why: str) -> MachineError:
    hint = "restore it from a backup, or move it away to start without these settings"
    return MachineError(f"cannot read {path}: {why}", hint=hint, code="STORE_UNREADABLE")


@contextmanager
def _medium(operation: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"Data store error during {operation}: {error.strerror}"
        raise MachineError(message, code="STORE_UNUSABLE") from error
