"""Capabilities by name (capabilities(7), linux/capability.h), and the default set. Pure."""

from collections.abc import Iterable
from typing import Final

__all__ = ["DEFAULT", "names"]

_NAMES: Final = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE"
    " NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO"
    " SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME"
    " SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG"
    " WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()

DEFAULT: Final = frozenset(
    f"CAP_{name}"
    for name in (
        "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP"
        " SETGID SETPCAP SETUID SYS_CHROOT"
    ).split()
)
"""containerd's fourteen, which upstream gives an unprivileged host container."""


def names(mask: int, among: Iterable[str] | None = None) -> list[str]:
    """Return the names of the bits of `mask`, in order; only those `among` where it is given.

    Bits that this table does not know yet are left out: a runtime would refuse them.
    """
    found = [f"CAP_{name}" for bit, name in enumerate(_NAMES) if mask >> bit & 1]
    return found if among is None else [name for name in found if name in set(among)]
