"""What a process gives up before it meets the network. Linux only; names as in prctl(2)."""

import ctypes
import os
import resource

__all__ = ["bound", "drop_privileges", "end_with_parent"]

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
CAPABILITIES = 64
"""More than any kernel knows: unknown ones answer EINVAL."""
NOFILE = 128
DATA_MAX = 192 * 1024 * 1024
"""Private memory of a process in bytes: a listener needs 40 MB, and one that grows ends alone."""

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
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, NOFILE)
    os.umask(0o077)


def bound() -> None:
    """Bound this process for good: its memory, and no file grows by it, whoever owns it."""
    _limit(resource.RLIMIT_DATA, DATA_MAX)
    _limit(resource.RLIMIT_FSIZE, 0)


def _limit(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (limit, limit))


def end_with_parent(signal: int) -> None:
    """Ask for `signal` when the parent ends."""
    _prctl(PR_SET_PDEATHSIG, signal)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")
