"""Which image of ours this host runs, as the kernel's command line and small files tell it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contract.status import SystemStatus

__all__ = ["DATA_IS_WELL", "Sources", "problems", "read", "words"]

DATA_IS_WELL: Final = "ok"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where it is told. `data` is written at each boot by /usr/lib/sheltie/data."""

    cmdline: Path = Path("/proc/cmdline")
    data: Path = Path("/run/sheltie-data")
    first_settings: Path = Path("/var/lib/sheltie/first-settings.json")


SOURCES: Final = Sources()


def read(sources: Sources = SOURCES) -> SystemStatus | None:
    """Return what runs; None where the host is no image of ours."""
    found = words(_text(sources.cmdline))
    slot = found.get("sheltie.image", "")
    if not slot:
        return None
    data = _text(sources.data).strip() or "it is not known how the data partition is"
    return SystemStatus(
        slot=slot,
        version=slot.rpartition("_")[2],
        root_hash=found.get("roothash", ""),
        data=data,
        first_settings=_origins(_text(sources.first_settings)),
    )


def problems(found: SystemStatus | None) -> Sequence[str]:
    """Return sentences about what is lost."""
    if found is None or found.data == DATA_IS_WELL:
        return []
    return [f"{found.data}: settings and logs are in memory until the next boot"]


def words(cmdline: str) -> dict[str, str]:
    """Return the words `NAME=VALUE` of a kernel's command line; the last of a name counts."""
    return {name: value for name, is_set, value in _split(cmdline) if is_set}


def _split(cmdline: str) -> list[tuple[str, str, str]]:
    return [word.partition("=") for word in cmdline.split()]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _origins(text: str) -> str:
    """Return from where first settings came, in one word for each."""
    try:
        known = json.loads(text or "{}")
        entries = [one for one in known.values() if isinstance(one, dict)]
        return ", ".join(f"{one['from']} at {one['at']}" for one in entries)
    except (ValueError, KeyError, AttributeError):
        return "the record of first settings cannot be read"
