"""Which image of ours this host runs, as the kernel, the firmware and small files tell it."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contract.status import SystemStatus

__all__ = ["DATA_IS_WELL", "Sources", "attempts_left", "problems", "read", "words"]

DATA_IS_WELL: Final = "ok"
LOADER: Final = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
"""Whose variables systemd-boot sets (the Boot Loader Interface)."""
FIRMWARE: Final = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
"""Whose variables are UEFI's own."""
_ATTRIBUTES: Final = 4
"""Bytes before a variable's value."""
_COUNTED: Final = re.compile(r"\+([0-9]{1,3})(?:-[0-9]{1,3})?\.efi")


@dataclass(frozen=True, slots=True)
class Sources:
    """Where it is told: `data` by each boot, `blessed` by one that is known to be good."""

    cmdline: Path = Path("/proc/cmdline")
    variables: Path = Path("/sys/firmware/efi/efivars")
    lockdown: Path = Path("/sys/kernel/security/lockdown")
    blessed: Path = Path("/run/sheltie-blessed")
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
    counted = _variable(sources.variables / f"LoaderBootCountPath-{LOADER}")
    return SystemStatus(
        slot=slot,
        version=slot.rpartition("_")[2],
        root_hash=found.get("roothash", ""),
        attempts_left=None if sources.blessed.exists() else attempts_left(counted),
        secure_boot=_flag(_variable(sources.variables / f"SecureBoot-{FIRMWARE}")),
        lockdown=_text(sources.lockdown).partition("[")[2].partition("]")[0],
        data=data,
        first_settings=_origins(_text(sources.first_settings)),
    )


def problems(found: SystemStatus | None) -> Sequence[str]:
    """Return sentences about what is lost: what the boot said of the data partition."""
    if found is None or found.data == DATA_IS_WELL:
        return []
    return [found.data]


def words(cmdline: str) -> dict[str, str]:
    """Return the words `NAME=VALUE` of a kernel's command line; the last of a name counts."""
    return {name: value for name, is_set, value in _split(cmdline) if is_set}


def attempts_left(counted: bytes) -> int | None:
    """Return what the loader's path says, `…+LEFT-DONE.efi`; None where it does not count."""
    found = _COUNTED.search(counted.decode("utf-16-le", "replace"))
    return int(found[1]) if found else None


def _flag(value: bytes) -> bool | None:
    return value == b"\1" if value else None


def _split(cmdline: str) -> list[tuple[str, str, str]]:
    return [word.partition("=") for word in cmdline.split()]


def _variable(path: Path) -> bytes:
    try:
        return path.read_bytes()[_ATTRIBUTES:]
    except OSError:
        return b""


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
