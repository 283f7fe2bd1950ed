"""What a process gives up before it meets the network. Linux only; names as in prctl(2)."""

import ctypes
import os
import resource

__all__ = ["drop_privileges", "end_with_parent"]

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
CAPABILITIES = 64
"""More than any kernel knows: unknown ones answer EINVAL."""
NOFILE = 128

_libc = ctypes.CDLL(None, use_errno=True)


def drop_privileges(uid: int, gid: int) -> None:
    """Become `uid` and `gid` for good, without capabilities, and without a way back.

    A process that is not root keeps its ids: the caller says what then does not hold. Raises
    OSError.
    """
    if not os.geteuid():
        for capability in range(CAPABILITIES):
            _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    # Of one uid, but not to be traced by one another (ptrace(2)).
    _prctl(PR_SET_DUMPABLE, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limit = min(NOFILE, hard) if hard != resource.RLIM_INFINITY else NOFILE
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    os.umask(0o077)


def end_with_parent(signal: int) -> None:
    """Ask for `signal` when the parent ends."""
    _prctl(PR_SET_PDEATHSIG, signal)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")
