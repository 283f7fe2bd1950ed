"""May this machine's PID 1 be entered? One readlink decides, and nothing more is tried."""

import os

__all__ = ["probe"]


def probe() -> bool:
    """Return whether the host can be this machine; False means: play a stand-in.

    Where readlink of `/proc/1/ns/mnt` is refused, PID 1 is out of bounds even for root. That is a
    boundary to respect, not an obstacle.
    """
    try:
        os.readlink("/proc/1/ns/mnt")  # noqa: PTH115  the system call itself
    except PermissionError:
        return False
    return True
