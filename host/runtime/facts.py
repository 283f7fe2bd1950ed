"""What of this host the containers' shapes depend on, read from the host."""

import json
import os
import resource
from pathlib import Path
from typing import Any, Final

from contract.durable import read_file
from contract.errors import MachineError, SheltieError
from host.runtime import elf, seccomp
from host.runtime.limits import HostSize
from host.runtime.mounts import OPTIONAL_PROGRAMS, OPTIONAL_SOURCES, HostFacts

__all__ = ["host_certificates", "read", "size"]

_PROFILE_MAX: Final = 4 << 20
_BUNDLE_MAX: Final = 16 << 20
_BUNDLES: Final = (
    "/etc/pki/tls/certs/ca-bundle.crt",  # upstream, Fedora
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Flatcar
    "/etc/ssl/ca-bundle.pem",  # SUSE
)


def read(*, filtered: bool) -> HostFacts:
    """Return the facts as they are now; with the seccomp profile where calls are `filtered`.

    Raises MachineError (SECCOMP_UNUSABLE).
    """
    return HostFacts(
        machine=os.uname().machine,
        bounding=_capabilities("CapBnd"),
        effective=_capabilities("CapEff"),
        open_files=_open_files(),
        present=frozenset(
            [path for path in OPTIONAL_SOURCES if Path(path).exists()]
            + [path for path in OPTIONAL_PROGRAMS if elf.runs_alone(Path(path))]
        ),
        seccomp=_profile() if filtered else {},
    )


def size() -> HostSize:
    """Return what this host has for containers to share."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    pids = int(Path("/proc/sys/kernel/pid_max").read_text())
    return HostSize(memory, len(os.sched_getaffinity(0)), pids)


def host_certificates() -> bytes:
    """Return the bundle of certificates that the host's programs trust; nothing without one."""
    for place in _BUNDLES:
        try:
            return read_file(Path(place).resolve(), _BUNDLE_MAX)
        except (OSError, SheltieError):
            continue
    return b""


def _capabilities(name: str) -> int:
    # From the kernel, not from a list: what we lack we cannot give (proc_pid_status(5)).
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1], 16)
    return 0


def _open_files() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return hard if hard != resource.RLIM_INFINITY else 1 << 20


def _profile() -> dict[str, Any]:
    try:
        document = json.loads(read_file(Path(seccomp.PROFILE).resolve(), _PROFILE_MAX))
    except (OSError, ValueError, SheltieError) as error:
        raise MachineError(
            f"the seccomp profile {seccomp.PROFILE} cannot be read: {error}",
            hint="install Debian's package golang-github-containers-common",
            code="SECCOMP_UNUSABLE",
        ) from error
    if not isinstance(document, dict):
        raise MachineError(
            f"the seccomp profile {seccomp.PROFILE} is no JSON object", code="SECCOMP_UNUSABLE"
        )
    return document
