"""The records that are kept: one file each; what cannot be written stays in memory."""

import os
import sys
from pathlib import Path

import msgspec

from admin.ledger.messages import Record
from contract.durable import ensure_directory, read_file, remove_file, write_file
from contract.errors import SheltieError

__all__ = ["KEPT", "Book"]

KEPT = 200
RECORD_MAX = 8 << 20
VERSION = 1


class _Page(msgspec.Struct, frozen=True):
    """A file: a record, and the format's version."""

    version: int
    record: Record


class Book:
    """Records in `directory`, `NUMBER.json` each."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.records: list[Record] = []
        for path in self._pages():
            try:
                page = msgspec.json.decode(read_file(path, RECORD_MAX), type=_Page)
            except (OSError, SheltieError, msgspec.DecodeError) as error:
                _say(f"{path} cannot be read, and is left as it is: {error}")
                continue
            if page.version == VERSION:
                self.records.append(page.record)
        self._number = max((int(path.stem) for path in self._pages()), default=0)

    def number(self) -> int:
        """Return the next record's number."""
        self._number += 1
        return self._number

    def keep(self, record: Record) -> None:
        """Keep a record; one without changes is none."""
        if not record.changes:
            return
        self.records.append(record)
        del self.records[:-KEPT]
        try:
            ensure_directory(self._directory)
            data = msgspec.json.encode(_Page(VERSION, record))
            write_file(self._directory / f"{record.number:08d}.json", data)
            for path in self._pages()[:-KEPT]:
                remove_file(path)
        except (OSError, SheltieError) as error:
            _say(f"record {record.number} is kept in memory only: {error}")

    def _pages(self) -> list[Path]:
        try:
            names = os.listdir(self._directory)  # noqa: PTH208  names are enough
        except OSError:
            return []
        kept = sorted(one for one in names if one.endswith(".json") and one[:-5].isdigit())
        return [self._directory / one for one in kept]


def _say(line: str) -> None:
    sys.stderr.write(f"ledger: {line}\n")
    sys.stderr.flush()
