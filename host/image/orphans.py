"""Programs that a killed daemon left at work: known by the scratch directory that they work in."""

import os
import select
import signal
from pathlib import Path
from typing import Final

__all__ = ["end"]

_SECONDS: Final = 5.0
"""How long a killed program may take to be gone; one that hangs on a dead disk takes longer."""
_PROC: Final = Path("/proc")


def end(place: Path) -> None:
    """Kill every process whose working directory is `place` or below, and wait until it is gone."""
    for entry in _PROC.iterdir():
        if not entry.name.isdecimal() or not _works_in(entry, place):
            continue
        try:
            descriptor = os.pidfd_open(int(entry.name))
        except OSError:  # it has ended by itself
            continue
        try:
            # The number may be another's by now, the descriptor stays what it is.
            if _works_in(entry, place):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                poll = select.poll()
                poll.register(descriptor, select.POLLIN)
                poll.poll(_SECONDS * 1000)
        except ProcessLookupError:
            continue
        finally:
            os.close(descriptor)


def _works_in(entry: Path, place: Path) -> bool:
    try:
        return (entry / "cwd").readlink().is_relative_to(place)
    except OSError:
        return False
