"""What a container uses, and whether it ran out of memory, read from its cgroups (cgroups(7))."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Usage", "memory_kills", "read"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes of memory, seconds of processor time, processes; None where nobody counts them."""

    memory: int | None = None
    cpu: float | None = None
    pids: int | None = None


def read(directories: Iterable[Path]) -> Usage:
    """Return what is used in a container's cgroups, one in each hierarchy, all below included."""
    memory: int | None = None
    cpu: float | None = None
    pids: int | None = None
    for directory in directories:
        memory = memory or _number(directory / "memory.current")
        memory = memory or _number(directory / "memory.usage_in_bytes")
        pids = pids or _number(directory / "pids.current")
        if cpu is None and (nanoseconds := _number(directory / "cpuacct.usage")) is not None:
            cpu = nanoseconds / 1e9
        if cpu is None and (used := _table(directory / "cpu.stat").get("usage_usec")) is not None:
            cpu = used / 1e6
    return Usage(memory, cpu, pids)


def memory_kills(directories: Iterable[Path]) -> int:
    """Return how many processes the kernel killed there because a limit of memory was reached."""
    kills = 0
    for directory in directories:
        for name in ("memory.events.local", "memory.oom_control"):
            kills += _table(directory / name).get("oom_kill", 0)
    return kills


def _number(file: Path) -> int | None:
    try:
        return int(file.read_bytes())
    except (OSError, ValueError):
        return None


def _table(file: Path) -> dict[str, int]:
    """Return a file of lines `name number`; nothing of one that is not there."""
    try:
        words = file.read_text(encoding="ascii").split()
        return {name: int(value) for name, value in zip(words[::2], words[1::2], strict=False)}
    except (OSError, ValueError):
        return {}
