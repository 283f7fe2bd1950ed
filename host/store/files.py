"""The store on disk: live.json, handed.json, generations/ and pending/OWNER/NAME.json.

The rename of live.json is the one moment at which a commit happens. handed.json is written before
it, marked with the serial number of the commit that it belongs to and holding the keys from before
that commit too; whichever serial live.json bears says which of the two lists is true. The copy in
generations/ follows, and is what an unreadable live.json falls back to.
"""

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from contract import durable
from contract.errors import MachineError, SheltieError
from host.logline import event
from host.store.documents import VERSION, HandedFile, LiveFile, PendingFile, encode, read
from host.store.generations import Generations
from host.store.state import Generation, Live

__all__ = ["FileStore"]

_log = logging.getLogger("host.store")


class FileStore:
    """A Store in `directory`, which one process writes. Opening it drops what was pending.

    Raises MachineError: STORE_UNREADABLE names a file that is there and cannot be understood while
    no generation can stand for it, STORE_FORMAT one of another release, STORE_UNUSABLE and
    DIRECTORY_UNUSABLE what the medium refuses.
    """

    def __init__(self, directory: Path) -> None:
        self._live_file = directory / "live.json"
        self._handed_file = directory / "handed.json"
        self._pending = directory / "pending"
        self._handed_stale = False
        self._recovered = ""
        self._unkept = ""
        durable.ensure_directory(directory)
        with _medium("opening"):
            _sweep(directory)
            shutil.rmtree(self._pending, ignore_errors=True)
            self._generations = Generations(directory / "generations")
        durable.ensure_directory(self._pending)
        self._live = self._load()
        if self._live.serial and self._live.serial not in self._generations:
            self._keep(self._live)  # a crash lay between the commit and its copy

    def live(self) -> Live:
        """Return the committed state."""
        return self._live

    def replace(self, live: Live) -> None:
        """Make `live` the committed state: durable once this returns, all of it or nothing."""
        if live.serial <= self._live.serial:
            raise ValueError(f"serial {live.serial} does not follow {self._live.serial}")
        with _medium("commit"):
            self._write(live)
        self._live = live
        self._keep(live)

    def generations(self) -> Sequence[Generation]:
        """Return the commits that are kept, the oldest first and the live one last."""
        return self._generations.listed()

    def generation(self, number: int) -> Live:
        """Return the state of a kept commit. Raises NotFoundError (GENERATION_GONE)."""
        return self._generations.get(number)

    @property
    def recovered(self) -> str:
        """Why a generation had to stand for the live file at this start; empty if it did not."""
        return self._recovered

    @property
    def problems(self) -> Sequence[str]:
        """What does not work, in sentences; none when all is well."""
        return [sentence for sentence in (self._recovered, self._unkept) if sentence]

    def pending(self, owner: str, name: str) -> Mapping[str, Any]:
        """Return the values of a transaction; empty when there is none."""
        found = read(self._path(owner, name), PendingFile)
        return found.settings if found else {}

    def put(self, owner: str, name: str, values: Mapping[str, Any]) -> None:
        """Make `values` the transaction's; none of them removes it."""
        path = self._path(owner, name)
        with _medium("set"):
            if values:
                durable.ensure_directory(path.parent)
                durable.write_file(path, encode(PendingFile(VERSION, dict(values))))
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

    def _write(self, live: Live) -> None:
        if live.handed != self._live.handed or self._handed_stale:
            self._handed_stale = True  # until the rename of live.json makes it true
            keys, before = list(live.handed), list(self._live.handed)
            handed = HandedFile(VERSION, live.serial, keys, before)
            durable.write_file(self._handed_file, encode(handed))
        file = LiveFile(VERSION, live.serial, live.opened, dict(live.settings), live.origin)
        durable.write_file(self._live_file, encode(file))
        self._handed_stale = False

    def _keep(self, live: Live) -> None:
        """Keep a copy of a commit. It has happened: failing here takes nothing back."""
        try:
            self._generations.keep(live)
        except OSError as error:
            self._unkept = f"generation {live.serial} could not be kept: {error.strerror}"
            _log.error(event("generation-not-kept", number=live.serial, why=error.strerror))
        else:
            self._unkept = ""

    def _load(self) -> Live:
        try:
            file = self._live_document()
        except MachineError as error:
            return self._fall_back(error, self._generations.last_good())
        file = file or LiveFile(VERSION, 0, "", {})
        try:
            live = self._whole(file)
        except MachineError as error:
            return self._fall_back(error, self._without_keys(file))
        last = self._generations.last
        return live if live.serial >= last else self._renumbered(live, last + 1)

    def _live_document(self) -> LiveFile | None:
        file = read(self._live_file, LiveFile)
        if file is None and self._generations.last:
            raise MachineError(f"{self._live_file} is gone", code="STORE_UNREADABLE")
        return file

    def _whole(self, file: LiveFile) -> Live:
        """Return the state of a live file with the keys that belong to it."""
        keys = read(self._handed_file, HandedFile) or HandedFile(VERSION, 0, [], [])
        # A crash lay between the two renames: the commit did not happen, and the next commit must
        # not make its keys true by reaching their serial number.
        self._handed_stale = keys.serial > file.serial
        handed = keys.before if self._handed_stale else keys.keys
        return Live(file.settings, tuple(handed), file.serial, file.opened, file.origin)

    def _without_keys(self, file: LiveFile) -> Live | None:
        """Return the state of a live file whose keys cannot be read: as its copy has them, or none.

        None before the first commit: there is nothing to stand for the file then.
        """
        with suppress(SheltieError):
            return self._generations.get(file.serial)
        if not file.serial:
            return None
        return Live(file.settings, (), file.serial, file.opened, file.origin)

    def _renumbered(self, live: Live, number: int) -> Live:
        """Give the state of an older live file, from a backup say, a number of its own."""
        self._live = live
        live = replace(live, serial=number)
        self._rewrite(live)
        return live

    def _fall_back(self, error: MachineError, live: Live | None) -> Live:
        """Take `live` for a file that cannot be read, loudly; that file is kept.

        Raises `error` where there is none, or where another release's file is to be left alone.
        """
        if live is None or error.code == "STORE_FORMAT":
            raise error
        self._recovered = f"{error.message}; generation {live.serial} was taken instead"
        _log.error(event("settings-recovered", generation=live.serial, why=error.message))
        self._live = replace(live, handed=())
        self._handed_stale = True
        for path in (self._live_file, self._handed_file):
            with suppress(OSError):
                path.rename(path.with_suffix(".broken"))
        self._rewrite(live)
        return live

    def _rewrite(self, live: Live) -> None:
        """Write what memory holds anyway; a medium that refuses does not stop the daemon."""
        try:
            self._write(live)
        except OSError as failure:
            _log.error(event("settings-not-rewritten", why=failure.strerror))


def _is_ours(name: str) -> bool:
    return name.startswith("t") and name.endswith(".json")


def _sweep(directory: Path) -> None:
    """Remove scratch files that a killed writer left (contract.durable names them `.NAME.HEX`)."""
    for name in ("live.json", "handed.json"):
        for scratch in directory.glob(f".{name}.*"):
            scratch.unlink(missing_ok=True)


@contextmanager
def _medium(operation: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"Data store error during {operation}: {error.strerror}"
        raise MachineError(message, code="STORE_UNUSABLE") from error
