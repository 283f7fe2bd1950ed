"""The two slots on the disk: what its partition table says, and what is really in a slot."""

import hashlib
import os
import shlex
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contract.errors import FailedError, MachineError
from host.runtime import programs
from host.update.fetch import StoppedError

__all__ = ["Partition", "digest", "partitions", "whole_disk"]

SECTOR: Final = 512
SECONDS: Final = 60.0
_PIECE: Final = 1 << 20
_COLUMNS: Final = ("START", "SIZE", "NAME", "UUID")


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition: its bytes on the disk, its label and its UUID."""

    start: int
    size: int
    label: str
    uuid: str


def whole_disk(sysfs: Path = Path("/sys/dev/block"), root: Path = Path("/")) -> Path:
    """Return the disk that the verified root lies on. Raises MachineError (UPDATE_NO_DISK)."""
    try:
        device = root.stat().st_dev
        number = f"{os.major(device)}:{os.minor(device)}"
        below = min((sysfs / number / "slaves").iterdir())
        return Path("/dev", below.resolve(strict=True).parent.name)
    except (OSError, ValueError) as error:
        raise MachineError(
            f"the disk that {root} is on cannot be found: {error}",
            hint="this host does not run from an image of ours",
            code="UPDATE_NO_DISK",
        ) from error


async def partitions(disk: Path) -> list[Partition]:
    """Return the partitions as the table on the disk has them: the kernel's list may be older.

    Raises MachineError (PROGRAM_MISSING), FailedError (UPDATE_NO_TABLE).
    """
    argv = [programs.find("partx"), "--pairs", "--bytes", "--output", ",".join(_COLUMNS), str(disk)]
    done = await programs.run(argv, seconds=SECONDS)
    if done.status:
        raise FailedError(
            f"the partitions of {disk} cannot be read: {programs.last_line(done.err)}",
            code="UPDATE_NO_TABLE",
        )
    found = []
    for line in done.out.decode("utf-8", "replace").splitlines():
        fields = dict(word.partition("=")[::2] for word in shlex.split(line))
        start, size = int(fields["START"]) * SECTOR, int(fields["SIZE"])
        found.append(Partition(start, size, fields["NAME"], fields["UUID"].lower()))
    return found


def digest(disk: Path, start: int, size: int, stop: threading.Event) -> str:
    """Return the SHA-256 of a stretch of the disk, read anew. Raises FailedError, StoppedError."""
    seen = hashlib.sha256()
    try:
        descriptor = os.open(disk, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, start, size, os.POSIX_FADV_DONTNEED)
            at, end = start, start + size
            while at < end:
                if stop.is_set():
                    raise StoppedError
                piece = os.pread(descriptor, min(_PIECE, end - at), at)
                if not piece:
                    break
                seen.update(piece)
                at += len(piece)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise FailedError(
            f"{disk} cannot be read: {error.strerror}", code="UPDATE_SLOT_DAMAGED"
        ) from error
    return seen.hexdigest()
