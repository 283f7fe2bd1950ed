"""Admin's audit: who came in with which access, and what was done by name. A chain on disk.

The keeper writes, and whatever acts beside it: one at a time, by a lock. Each write finds the end
of the chain anew, so nobody has to be asked, or to be there.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from contract import chain, places
from contract.audit.segments import Segments
from contract.durable import ensure_directory
from contract.errors import MachineError, SheltieError
from contract.event import AuditDropped, Event, entry

__all__ = ["DIRECTORY", "check", "note"]

DIRECTORY: Final = Path(places.ADMIN_AUDIT)
LOCK: Final = "lock"
SEGMENT_MAX: Final = 256 << 10
"""Bytes of a segment: each write reads the last one whole."""
KEPT: Final = 1024


def note(event: Event, directory: Path = DIRECTORY) -> None:
    """Write an event: it is durable once this returns. Raises MachineError (AUDIT_UNWRITABLE)."""
    with _alone(directory):
        sink = Segments(directory, SEGMENT_MAX, KEPT)
        try:
            head = _write(sink, sink.open().head, event)
            while news := sink.news():
                for one in news:
                    head = _write(sink, head, one)
                    if isinstance(one, AuditDropped):  # its end is told of for good
                        sink.drop(one.segment)
        finally:
            sink.close()


def check(directory: Path = DIRECTORY) -> None:
    """See whether an event could be written. Raises MachineError (AUDIT_UNWRITABLE)."""
    with _alone(directory):
        space = os.statvfs(directory)
        if space.f_bavail * space.f_frsize < chain.LINE_MAX:
            raise OSError(0, "no space is left")


def _write(sink: Segments, head: chain.Head, event: Event) -> chain.Head:
    line, head = chain.link(head, msgspec.to_builtins(entry(event)))
    sink.append(line, head.seq)
    return head


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Be the one writer meanwhile."""
    try:
        ensure_directory(directory.parent)
        ensure_directory(directory)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        lock = os.open(directory / LOCK, flags, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
    except (OSError, SheltieError) as error:
        why = error.message if isinstance(error, SheltieError) else error.strerror
        raise MachineError(
            f"admin's audit in {directory} cannot be written: {why}",
            hint="is the disk full, or read-only?",
            code="AUDIT_UNWRITABLE",
        ) from error
