"""The listener's system-call filter: an allow-list by name, assembled to BPF and installed.

Whatever is not named kills the process (SECCOMP_RET_KILL_PROCESS), so that what was taken over
cannot try twice. Looking up a path gives EPERM instead: a late import or a traceback that wants its
source is no attack. Linux, x86_64 and aarch64; names as in seccomp(2), linux/filter.h.
"""

import ctypes
import functools
import os
import struct
from collections.abc import Mapping

from admin.ssh.syscalls import ARCHITECTURES, NUMBERS
from contract.errors import MachineError

__all__ = ["ALLOWED", "ONLY", "PATHS", "confine", "program"]

ALLOWED = (
    "brk", "clock_gettime", "clock_nanosleep", "close", "epoll_ctl", "epoll_pwait", "epoll_wait",
    "exit", "exit_group", "fstat", "futex", "getpeername", "getpid", "getrandom", "getsockname",
    "getsockopt", "gettid", "gettimeofday", "lseek", "madvise", "membarrier", "mremap", "munmap",
    "poll", "ppoll", "pselect6", "read", "recvfrom", "recvmsg", "restart_syscall", "rseq",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "select", "sendmsg", "sendto", "setsockopt",
    "shutdown", "sigaltstack", "write", "writev",
)  # fmt: skip
"""What speaking SSH on descriptors that are there already needs, and nothing that makes one."""

PATHS = (
    "access", "faccessat", "faccessat2", "getcwd", "getdents64", "lstat", "newfstatat", "open",
    "openat", "openat2", "readlink", "readlinkat", "stat", "statx",
)  # fmt: skip
"""Answered with EPERM."""

ONLY: Mapping[str, tuple[int, tuple[int, ...]]] = {
    "fcntl": (1, (1, 2, 3, 4)),  # F_GETFD, F_SETFD, F_GETFL, F_SETFL: no duplicates, no owners
    "ioctl": (1, (0x5421, 0x541B, 0x5401)),  # FIONBIO, FIONREAD, TCGETS (isatty)
}
"""Calls allowed for these values of one argument: its index, the values."""

NO_EXECUTION = ("mmap", "mprotect")
"""Allowed without PROT_EXEC in the third argument: no new code."""

PROT_EXEC = 4
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
RET_KILL_PROCESS = 0x80000000
RET_ALLOW = 0x7FFF0000
RET_EPERM = 0x00050000 | 1
X32 = 0x40000000
"""Numbers from here on are x86's other ABI (x32), which would slip past a list of numbers."""

# BPF: load word, jump if equal, if at least, if any bit is set, return (linux/bpf_common.h).
LOAD, JEQ, JGE, JSET, RET = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER_AT, ARCH_AT, ARGUMENTS_AT = 0, 4, 16  # struct seccomp_data, little endian

_libc = ctypes.CDLL(None, use_errno=True)


@functools.cache  # assembled in the zygote, for all its children
def program(machine: str) -> bytes:
    """Return the filter for `machine` (uname -m): an array of struct sock_filter.

    Raises MachineError (NO_SECCOMP) for an architecture without a table.
    """
    arch = ARCHITECTURES.get(machine)
    if arch is None:
        raise MachineError(f"there is no system-call filter for {machine}", code="NO_SECCOMP")
    column = list(ARCHITECTURES).index(machine)
    numbers = {name: pair[column] for name, pair in NUMBERS.items() if pair[column] is not None}
    lines = [
        _line(LOAD, ARCH_AT),
        _line(JEQ, arch, 1, 0),
        _line(RET, RET_KILL_PROCESS),
        _line(LOAD, NUMBER_AT),
        _line(JGE, X32, 0, 1),
        _line(RET, RET_KILL_PROCESS),
    ]
    for names, answer in ((ALLOWED, RET_ALLOW), (PATHS, RET_EPERM)):
        for name in names:
            if name in numbers:
                lines += [_line(JEQ, numbers[name] or 0, 0, 1), _line(RET, answer)]
    for name, (index, values) in ONLY.items():
        lines += _when(numbers[name] or 0, _only(index, values))
    for name in NO_EXECUTION:
        lines += _when(numbers[name] or 0, _without_execution())
    lines.append(_line(RET, RET_KILL_PROCESS))
    return b"".join(lines)


def confine() -> None:
    """Install the filter for this process and for good. Raises OSError, MachineError.

    no_new_privs must be set already (`admin.ssh.confine`).
    """
    code = program(os.uname().machine)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    prog = ctypes.create_string_buffer(header, len(header))
    mode = ctypes.c_ulong(SECCOMP_MODE_FILTER)
    if _libc.prctl(PR_SET_SECCOMP, mode, ctypes.byref(prog), 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"no system-call filter: {os.strerror(number)}")


def _line(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    """Return one instruction: struct sock_filter (u16 code, u8 jt, u8 jf, u32 k)."""
    return struct.pack("<HBBI", code, yes, no, value)


def _when(number: int, block: list[bytes]) -> list[bytes]:
    """Run `block`, which returns, when the call is `number`."""
    return [_line(JEQ, number, 0, len(block)), *block]


def _only(index: int, values: tuple[int, ...]) -> list[bytes]:
    block = [_line(LOAD, ARGUMENTS_AT + 8 * index)]
    for value in values:
        block += [_line(JEQ, value, 0, 1), _line(RET, RET_ALLOW)]
    return [*block, _line(RET, RET_KILL_PROCESS)]


def _without_execution() -> list[bytes]:
    return [
        _line(LOAD, ARGUMENTS_AT + 8 * 2),
        _line(JSET, PROT_EXEC, 0, 1),
        _line(RET, RET_KILL_PROCESS),
        _line(RET, RET_ALLOW),
    ]
