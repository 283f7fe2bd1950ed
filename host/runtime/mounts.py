"""What a host container sees mounted, for both shapes. Pure: what the host has is given.

The table is upstream's (core-kit host-ctr `main.go`, `withDefault` and `withSuperpowered`).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from contract.places import API_DIRECTORY, HOST_ROOT

__all__ = [
    "OPTIONAL_PROGRAMS",
    "OPTIONAL_SOURCES",
    "HostFacts",
    "Places",
    "normal_mounts",
    "superpowered_mounts",
]

_PERSISTENT: Final = "/.bottlerocket/host-containers"
CERTIFICATES: Final = "/.bottlerocket/certs"
_QUIET: Final = ("nosuid", "noexec", "nodev")

_READONLY_BINDS: Final = (
    ("/etc/hosts", "/etc/hosts"),
    ("/etc/resolv.conf", "/etc/resolv.conf"),
    ("/etc/os-release", "/etc/bottlerocket-release"),
    (
        "/usr/share/bottlerocket/application-inventory.json",
        "/var/lib/bottlerocket/inventory/application.json",
    ),
    ("/var/log/support", "/.bottlerocket/support"),
)
_PROGRAMS: Final = (("/usr/bin/apiclient", "/usr/local/bin/apiclient"),)
_POWERFUL_PROGRAMS: Final = (("/usr/bin/kmod", "/usr/local/sbin/modprobe"),)
_MODULES: Final = "/lib/modules"
_KERNELS: Final = "/usr/src/kernels"
_SHARED: Final = "/mnt"

OPTIONAL_SOURCES: Final = (*(source for source, _ in _READONLY_BINDS), _MODULES, _KERNELS, _SHARED)
"""Host paths that are mounted only where they are there."""
OPTIONAL_PROGRAMS: Final = tuple(source for source, _ in (*_PROGRAMS, *_POWERFUL_PROGRAMS))
"""Host programs that are mounted only where they run without anything else of the host.

Upstream's are static. Both images bring ours, which is Python, and admin its own kmod.
"""


class Places(Protocol):
    """Where the container's own directories lie on the host."""

    @property
    def persistent(self) -> str:
        """The directory that survives restarts."""

    @property
    def api(self) -> str:
        """The directory of the container's own API socket."""

    @property
    def certificates(self) -> str:
        """The directory of the certificates that the host trusts."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What of this host the shapes depend on.

    `bounding` is CapBnd's mask, `effective` CapEff's; `open_files` our own hard limit; `present`
    holds paths of OPTIONAL_SOURCES and OPTIONAL_PROGRAMS; `seccomp` is the parsed profile.
    """

    machine: str
    bounding: int
    open_files: int
    present: Collection[str] = ()
    effective: int = 0
    seccomp: Mapping[str, Any] = field(default_factory=dict, repr=False)


def normal_mounts(name: str, places: Places, host: HostFacts) -> list[dict[str, Any]]:
    """Return the mounts of an unprivileged container; nothing of /sys can be written to."""
    return [
        *_basic(),
        _mount("/sys", "sysfs", "sysfs", *_QUIET, "ro"),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", *_QUIET, "relatime", "ro"),
        *_contract(name, places, host),
    ]


def superpowered_mounts(name: str, places: Places, host: HostFacts) -> list[dict[str, Any]]:
    """Return the mounts of a superpowered container; the host's root comes with them."""
    mounts = [
        # First, while nothing else is mounted yet: it would all be seen a second time below here.
        # What the host mounts later is seen; what is mounted inside stays inside.
        _bind("/", HOST_ROOT, "rbind", "ro", "rslave"),
        *_basic(),
        # One bind brings /sys/firmware, /sys/kernel/debug and every cgroup hierarchy, version 2
        # too, as the host has them; an OCI mount of type cgroup would leave out a second version.
        _bind("/sys", "/sys", "rbind", "rw", "rslave"),
        *_contract(name, places, host),
    ]
    if _MODULES in host.present:
        mounts.append(_bind(_MODULES, _MODULES, "rbind", "ro"))
    if _KERNELS in host.present:
        mounts.append(_bind(_KERNELS, _KERNELS, "rbind", "rw"))
    if _SHARED in host.present:
        mounts.append(_bind(_SHARED, f"{HOST_ROOT}{_SHARED}", "rbind", "rw", "rshared"))
    return [*mounts, *_readonly(_POWERFUL_PROGRAMS, host)]


def _basic() -> list[dict[str, Any]]:
    return [
        _mount("/proc", "proc", "proc", *_QUIET),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts",
            "devpts",
            "devpts",
            *("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        ),
        _mount("/dev/shm", "tmpfs", "shm", *_QUIET, "mode=1777", "size=65536k"),  # noqa: S108  its place
        _mount("/dev/mqueue", "mqueue", "mqueue", *_QUIET),
        # The copy brings the link to the API's socket, which lies in the root's upper layer.
        _mount("/run", "tmpfs", "tmpfs", "nosuid", "nodev", "mode=755", "tmpcopyup"),
    ]


def _contract(name: str, places: Places, host: HostFacts) -> list[dict[str, Any]]:
    mounts = [
        _bind(places.persistent, f"{_PERSISTENT}/{name}", "rbind", "rw"),
        # The directory, not the socket: a daemon that binds it anew is found again (upstream
        # mounts the file). Read-only: nobody inside can put another socket in its place.
        _bind(places.api, API_DIRECTORY, "bind", "ro", *_QUIET),
    ]
    if name != "current":
        mounts.insert(1, _bind(places.persistent, f"{_PERSISTENT}/current", "rbind", "rw"))
    # A directory of the daemon's, where upstream mounts the host's: certificates that the settings
    # add are in it, and new ones come in while the container runs.
    mounts.append(_bind(places.certificates, CERTIFICATES, "bind", "ro"))
    return [*mounts, *_readonly((*_READONLY_BINDS, *_PROGRAMS), host)]


def _readonly(binds: Iterable[tuple[str, str]], host: HostFacts) -> list[dict[str, Any]]:
    found = [pair for pair in binds if pair[0] in host.present]
    return [_bind(source, destination, "bind", "ro") for source, destination in found]


def _mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def _bind(source: str, destination: str, *options: str) -> dict[str, Any]:
    if not {"rslave", "rshared"} & set(options):
        options = (*options, "rprivate")
    return _mount(destination, "bind", source, *options)
