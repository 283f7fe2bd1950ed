"""A bundle: what reports and looks tell, as one archive. Nothing of it needs more than a look."""

import gzip
import io
import tarfile
import time
from collections.abc import Sequence
from typing import IO

from admin.act import host
from admin.act.declare import Item
from admin.report.program import Done
from contract.errors import SheltieError

__all__ = ["write"]

NOTES = "notes.txt"


def write(items: Sequence[Item], seconds: int, into: IO[bytes], name: str) -> list[str]:
    """Write a tar.gz with the directory `name`; return a sentence for each item without content."""
    notes = []
    now = int(time.time())
    with (
        gzip.GzipFile(fileobj=into, mode="wb", mtime=now) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        for item in items:
            try:
                done = _told(item, seconds)
            except SheltieError as error:
                notes.append(f"{item.name}: {error.message}")
                continue
            if done.status or done.cut:
                notes.append(f"{item.name}: {done.cut or done.last_words()}")
            if done.said:
                _add(archive, f"{name}/{item.name}", done.said, now)
        text = "".join(f"{note}\n" for note in notes)
        _add(archive, f"{name}/{NOTES}", text.encode(errors="replace"), now)
    return notes


def _told(item: Item, seconds: int) -> Done:
    if item.report:
        return host.report(item.report, seconds)
    return host.run(item.look, seconds, "--look")


def _add(archive: tarfile.TarFile, name: str, data: bytes, now: int) -> None:
    about = tarfile.TarInfo(name)
    about.size, about.mtime, about.mode = len(data), now, 0o600
    archive.addfile(about, io.BytesIO(data))
