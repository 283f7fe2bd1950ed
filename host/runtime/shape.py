"""The two shapes of a host container as OCI runtime configurations. Pure.

What they hold is upstream's (core-kit host-ctr `main.go` on containerd's default specification);
exceptions are named where they stand. OCI runtime specification: config.md, config-linux.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from contract.status import Limits
from host.runtime import capabilities, limits, oom, seccomp
from host.runtime.mounts import HostFacts, normal_mounts, superpowered_mounts

__all__ = ["ImageProcess", "Wish", "config"]

OPEN_FILES: Final = 1024
"""Soft limit of open files, as containerd's default has it; a process may raise it."""

_MASKED: Final = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/devices/virtual/powercap",
)
"""containerd's default without /sys/firmware, as upstream; with powercap, which came later."""
_READONLY: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True, slots=True)
class ImageProcess:
    """What the image says about its process: arguments, environment, directory and user."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wish:
    """One container to make. `cgroup` is its cgroup's absolute path; `rootfs` its mounted root.

    `environment` comes on top of the image's. `certificates` is the directory of those that the
    host trusts. `protected` is spared when the host's memory ends.
    """

    name: str
    superpowered: bool
    process: ImageProcess
    rootfs: str
    cgroup: str
    persistent: str
    api: str
    environment: tuple[tuple[str, str], ...] = ()
    limits: Limits = limits.UNLIMITED
    protected: bool = False
    certificates: str = field(kw_only=True)


def config(wish: Wish, host: HostFacts) -> dict[str, Any]:
    """Return the OCI configuration. Raises MachineError (SECCOMP_UNUSABLE)."""
    build = _superpowered if wish.superpowered else _normal
    document = build(wish, host)
    document["ociVersion"] = "1.0.2"
    document["root"] = {"path": wish.rootfs}
    document["linux"]["cgroupsPath"] = wish.cgroup
    document["linux"]["resources"].update(limits.resources(wish.limits))
    # No hostname: the own uts namespace begins with the host's name, as upstream's does.
    document["annotations"] = {"org.sheltie.container": wish.name}
    return document


def _normal(wish: Wish, host: HostFacts) -> dict[str, Any]:
    caps = capabilities.names(host.bounding, capabilities.DEFAULT)
    linux = {
        "namespaces": _namespaces("pid", "ipc", "uts", "mount", "cgroup"),
        "resources": _resources(devices=False),
        "seccomp": seccomp.resolve(host.seccomp, host.machine, caps),
        "maskedPaths": list(_MASKED),
        "readonlyPaths": list(_READONLY),
        "rootfsPropagation": "rprivate",
    }
    process = _process(wish, caps, host, new_privileges=False)
    return {"process": process, "mounts": normal_mounts(wish.name, wish, host), "linux": linux}


def _superpowered(wish: Wish, host: HostFacts) -> dict[str, Any]:
    caps = capabilities.names(host.bounding)
    linux = {
        "namespaces": _namespaces("ipc", "uts", "mount"),
        "resources": _resources(devices=True),
        "rootfsPropagation": "rshared",
    }
    process = _process(wish, caps, host, new_privileges=True)
    return {
        "process": process,
        "mounts": superpowered_mounts(wish.name, wish, host),
        "linux": linux,
    }


def _process(
    wish: Wish, caps: list[str], host: HostFacts, *, new_privileges: bool
) -> dict[str, Any]:
    image = wish.process
    document = {
        "terminal": False,
        "user": dict(image.user),
        "args": list(image.args),
        "env": _environment(image.env, dict(wish.environment)),
        "cwd": image.cwd,
        # Nothing inheritable and nothing ambient: a user other than root gets none of them.
        "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
        "rlimits": [_open_files(host.open_files)],
        "noNewPrivileges": not new_privileges,
    }
    # Said also for the others, or they would have what the daemon has.
    if "CAP_SYS_RESOURCE" in capabilities.names(host.effective):
        document["oomScoreAdj"] = oom.PROTECTED if wish.protected else oom.USUAL
    return document


def _environment(image: tuple[str, ...], more: dict[str, str]) -> list[str]:
    kept = [pair for pair in image if pair.partition("=")[0] not in more]
    return [*kept, *(f"{name}={value}" for name, value in more.items())]


def _open_files(hard: int) -> dict[str, Any]:
    # Not above the hard limit that we have ourselves: CAP_SYS_RESOURCE may be missing.
    return {"type": "RLIMIT_NOFILE", "soft": min(OPEN_FILES, hard), "hard": hard}


def _resources(*, devices: bool) -> dict[str, Any]:
    # A runtime adds the usual ones (null, zero, random, tty …) by itself (config-linux.md).
    return {"devices": [{"allow": devices, "access": "rwm"}]}


def _namespaces(*kinds: str) -> list[dict[str, str]]:
    return [{"type": kind} for kind in kinds]
