"""What each report may do, and how the helper gives up everything else before it begins."""

import os
from dataclasses import dataclass

from admin.look import kernel as calls
from admin.look import settings
from admin.report import wire
from admin.sheltie import host, kernel
from contract.errors import MachineError

__all__ = ["NEEDS", "Needs", "reduce_to"]

CAP_NET_ADMIN = 12
CAP_NET_RAW = 13
CAP_SYS_PTRACE = 19
CAP_SYS_ADMIN = 21
READ_ONLY = calls.MOUNT_ATTR_RDONLY | calls.MOUNT_ATTR_NOSUID


@dataclass(frozen=True)
class Needs:
    """Namespaces of the host's, capabilities, and whether uid 0: its sockets ask for that."""

    namespaces: int = 0
    capabilities: tuple[int, ...] = ()
    root: bool = False


_PROCESSES = Needs(capabilities=(calls.CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE))
# The host's own programs, as root without a capability, over files that cannot be written to.
_PROGRAMS = Needs(kernel.CLONE_NEWNS, root=True)
NEEDS: dict[type, Needs] = {
    wire.Units: _PROGRAMS,
    wire.Logs: _PROGRAMS,
    wire.Containers: _PROGRAMS,
    wire.Pods: _PROGRAMS,
    wire.Netstat: _PROCESSES,
    wire.Files: _PROCESSES,
    wire.Environ: _PROCESSES,
    wire.Disk: _PROCESSES,
    # The kernel gives stacks to nobody below this.
    wire.Stacks: Needs(capabilities=(*_PROCESSES.capabilities, CAP_SYS_ADMIN)),
    wire.Firewall: Needs(kernel.CLONE_NEWNET, (CAP_NET_ADMIN,)),
    wire.Capture: Needs(kernel.CLONE_NEWNET, (CAP_NET_RAW,)),
}


def reduce_to(needs: Needs) -> None:
    """Enter what is needed of the host and keep only the capabilities named. Raises MachineError.

    The helper is single-threaded, and has imported all that it will use.
    """
    descriptor = host.find().pidfd
    uid = 0 if needs.root else settings.draw_uid(settings.read())
    try:
        if needs.namespaces:
            kernel.setns(descriptor, needs.namespaces)
            os.chdir("/")
        calls.unshare_mounts()
        calls.make_private()
        calls.set_attributes("/", READ_ONLY, recursive=True)
        os.close(descriptor)
        os.setgroups([])
        calls.drop_bounding_set(needs.capabilities)
        calls.lock_securebits()
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        calls.hold_only(needs.capabilities)
        calls.no_new_privileges()
    except OSError as error:
        raise MachineError(
            f"the helper cannot give up its privileges: {error.strerror}",
            hint="nothing was read",
            code="REPORT_PRIVILEGE",
        ) from error
