"""Whether PID 1 is the host's, and the way into its namespaces."""

from __future__ import annotations

import errno
import os

from admin.sheltie import kernel
from contract import places
from contract.errors import MachineError

__all__ = ["PID_1_ROOT", "enter", "find"]

PID_1_ROOT = "/proc/1/root"

NAMESPACES = (
    kernel.CLONE_NEWNS
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWCGROUP
)


def find(host_root: str = places.HOST_ROOT) -> int:
    """Return a pidfd of PID 1, once it is shown to be the host's.

    A container with a pid namespace of its own would "enter" itself without a word, so two
    witnesses are asked: PID 1 lives in another mount namespace than we do, and its root is the one
    that the host mounted at `host_root`. Raises MachineError (NOT_SUPERPOWERED, KERNEL_LACKS).
    """
    try:
        if _same("/proc/1/ns/mnt", "/proc/self/ns/mnt"):
            raise _not_superpowered("PID 1 is this container's own")
        if not _same(f"{PID_1_ROOT}/", f"{host_root}/"):
            raise _not_superpowered(f"PID 1's root is not what is mounted at {host_root}")
        return os.pidfd_open(1)
    except PermissionError as error:
        raise _not_superpowered("PID 1 is out of bounds") from error
    except FileNotFoundError as error:
        raise _not_superpowered(f"{error.filename} is missing") from error
    except OSError as error:
        raise _kernel_lacks(error) from error


def enter(pidfd: int) -> None:
    """Move this process into all namespaces of PID 1, at the root of its files.

    Raises MachineError (NOT_SUPERPOWERED, KERNEL_LACKS).
    """
    try:
        kernel.setns(pidfd, NAMESPACES)
        os.chdir("/")
    except PermissionError as error:
        raise _not_superpowered("PID 1's namespaces may not be entered") from error
    except OSError as error:
        raise _kernel_lacks(error) from error


def _same(one: str, other: str) -> bool:
    return os.path.samestat(os.stat(one), os.stat(other))  # noqa: PTH116  pathlib costs 10 ms


def _not_superpowered(why: str) -> MachineError:
    return MachineError(
        f"cannot reach the host: {why}; admin is not superpowered",
        hint="set host-containers.admin.superpowered=true",
        code="NOT_SUPERPOWERED",
    )


def _kernel_lacks(error: OSError) -> MachineError:
    needs = "setns on a pidfd needs Linux 5.8" if error.errno == errno.EINVAL else ""
    return MachineError(
        f"cannot enter the host's namespaces: {error.strerror}", hint=needs, code="KERNEL_LACKS"
    )
