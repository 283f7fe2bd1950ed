"""How much of the host a container may take, and how OCI's `linux.resources` says so. Pure.

Upstream sets no limits. Ours leave the host enough to work with, whatever runs in a container: what
fills its share is stopped there.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from contract.status import Limits

__all__ = ["CONTROLLERS", "UNLIMITED", "HostSize", "kept", "lacking", "limits", "resources"]

CONTROLLERS: Final = ("memory", "cpu", "pids")
"""The controllers that limits need (cgroups(7))."""
PERIOD_MICROSECONDS: Final = 100_000
"""The kernel's own choice of a period (cpu.cfs_period_us, cpu.max)."""
SHARES: Final = 512
"""Half of what any service of the host has, where all want a processor at the same time."""
LEAST_CPUS: Final = 0.5
LEAST_MEMORY: Final = 128 << 20
"""What a container gets also where it is more than its part: with less no door would open."""
UNLIMITED: Final = Limits()
PIDS: Final = 2048
"""Processes and threads: plenty for debugging, and the end of a fork bomb."""


@dataclass(frozen=True, slots=True)
class HostSize:
    """What there is to share: bytes of memory, processors, process numbers."""

    memory: int
    cpus: int
    pids: int


def limits(size: HostSize, *, superpowered: bool) -> Limits:
    """Return the limits of a host container: half of everything, a quarter of memory without power.

    With admin and control both at their limits a quarter of the memory is still the host's.
    """
    part = 2 if superpowered else 4
    return Limits(
        memory=min(max(size.memory // part, LEAST_MEMORY), size.memory),
        cpu=min(max(size.cpus / 2, LEAST_CPUS), size.cpus),
        pids=max(1, min(PIDS, size.pids // 2)),
    )


def kept(wanted: Limits, controllers: Collection[str]) -> Limits:
    """Return what of the limits a host with these controllers can hold."""
    return Limits(
        memory=wanted.memory if "memory" in controllers else 0,
        cpu=wanted.cpu if "cpu" in controllers else 0.0,
        pids=wanted.pids if "pids" in controllers else 0,
    )


def resources(wanted: Limits) -> dict[str, Any]:
    """Return the limits in OCI's words, which a runtime turns into those of version 1 or 2.

    What is not limited is not named: a runtime refuses a limit for which there is no controller.
    """
    found: dict[str, Any] = {}
    if wanted.memory:
        found["memory"] = {"limit": wanted.memory}
    if wanted.cpu:
        quota = int(wanted.cpu * PERIOD_MICROSECONDS)
        found["cpu"] = {"shares": SHARES, "quota": quota, "period": PERIOD_MICROSECONDS}
    if wanted.pids:
        found["pids"] = {"limit": wanted.pids}
    return found


def lacking(controllers: Collection[str]) -> str:
    """Return the sentence for the host's status about what cannot be limited here, or ""."""
    absent = [name for name in CONTROLLERS if name not in controllers]
    if not absent:
        return ""
    return f"containers are not limited in {' and '.join(absent)}: no such cgroup controller here"
