"""Whether PID 1 is the host's, and the way into its namespaces, or into those of a workload."""

from __future__ import annotations

import errno
import posix as os  # all that `os` has of use here, without its 1.3 ms

from admin.sheltie import kernel
from contract import places
from contract.errors import MachineError, NotFoundError

__all__ = ["PID_1", "Way", "find"]

PID_1 = 1
FLAGS = {
    "mnt": kernel.CLONE_NEWNS,
    "pid": kernel.CLONE_NEWPID,
    "net": kernel.CLONE_NEWNET,
    "ipc": kernel.CLONE_NEWIPC,
    "uts": kernel.CLONE_NEWUTS,
    "cgroup": kernel.CLONE_NEWCGROUP,
}


class Way:
    """A way into a process' namespaces, held by its pidfd, that cannot become another's."""

    __slots__ = ("flags", "foreign", "pid", "pidfd")

    def __init__(self, pid: int, left_out: frozenset[str] = frozenset()) -> None:
        """Hold process `pid`. Raises OSError, NotFoundError (NO_TARGET)."""
        try:
            self.pidfd = os.pidfd_open(pid)
        except ProcessLookupError as error:
            raise _no_target(pid) from error
        except OSError as error:
            if error.errno == errno.EINVAL and pid != PID_1:  # a thread's number
                raise _no_target(pid) from error
            raise
        self.pid = pid
        self.flags = sum(FLAGS[name] for name in present(f"/proc/{pid}/ns") - left_out)
        self.foreign = bool(self.flags & kernel.CLONE_NEWPID) and not _same(
            f"/proc/{pid}/ns/pid", "/proc/self/ns/pid"
        )
        """Whether only a child of ours can be in its pid namespace (pid_namespaces(7))."""

    @property
    def mounts(self) -> bool:
        """Whether the target's files are entered."""
        return bool(self.flags & kernel.CLONE_NEWNS)

    def adopt_processes(self) -> None:
        """Let the next child be born in the target's pid namespace. Raises MachineError."""
        if self.foreign:
            self._setns(kernel.CLONE_NEWPID)

    def enter(self) -> None:
        """Move this process into the namespaces, at the root of the files.

        Raises MachineError (NOT_SUPERPOWERED, KERNEL_LACKS).
        """
        # A child that was born there cannot enter a pid namespace once more, nor needs to.
        self._setns(self.flags & ~(kernel.CLONE_NEWPID if self.foreign else 0))
        if self.mounts:
            os.chdir("/")

    def _setns(self, flags: int) -> None:
        if not flags:  # else setns would take it for "any"
            return
        try:
            kernel.setns(self.pidfd, flags)
        except PermissionError as error:
            raise _not_superpowered("its namespaces may not be entered") from error
        except ProcessLookupError as error:
            raise _no_target(self.pid) from error
        except OSError as error:
            raise _kernel_lacks(error) from error


def find(left_out: frozenset[str] = frozenset(), host_root: str = places.HOST_ROOT) -> Way:
    """Return the way to PID 1, once it is shown to be the host's.

    A container with a pid namespace of its own would "enter" itself without a word, so two
    witnesses are asked: PID 1 lives in another mount namespace than we do, and its root is the one
    that the host mounted at `host_root`. Raises MachineError (NOT_SUPERPOWERED, KERNEL_LACKS).
    """
    root = f"/proc/{PID_1}/root/"
    try:
        if _same("/proc/1/ns/mnt", "/proc/self/ns/mnt"):
            raise _not_superpowered("PID 1 is this container's own")
        if not _same(root, f"{host_root}/"):
            raise _not_superpowered(f"PID 1's root is not what is mounted at {host_root}")
        return Way(PID_1, left_out)
    except PermissionError as error:
        raise _not_superpowered("PID 1 is out of bounds") from error
    except FileNotFoundError as error:
        raise _not_superpowered(f"{error.filename} is missing") from error
    except OSError as error:
        raise _kernel_lacks(error) from error


def present(directory: str) -> set[str]:
    """Return the kinds of namespaces that this kernel has: asking for another is EINVAL."""
    return {name for name in FLAGS if os.access(f"{directory}/{name}", os.F_OK)}


def _same(one: str, other: str) -> bool:
    return _identity(one) == _identity(other)


def _identity(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _no_target(pid: int) -> NotFoundError:
    return NotFoundError(
        f"the host has no process {pid}", hint="sheltie ps -e lists them", code="NO_TARGET"
    )


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
