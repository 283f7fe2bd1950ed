"""Numbers of the system calls that a listener's filter names, for each architecture.

From the kernel's tables (arch/x86/entry/syscalls/syscall_64.tbl and
include/uapi/asm-generic/unistd.h), which never change; a test compares them with libseccomp's.
None: the architecture has no such call.
"""

from typing import Final

__all__ = ["ARCHITECTURES", "NUMBERS"]

ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""AUDIT_ARCH_* (linux/audit.h) by the machine's name in uname(2)."""

# fmt: off
NUMBERS: Final[dict[str, tuple[int | None, int | None]]] = {
    #                    x86_64 aarch64
    "access":               (21, None),
    "brk":                  (12, 214),
    "clock_gettime":       (228, 113),
    "clock_nanosleep":     (230, 115),
    "close":                 (3, 57),
    "epoll_ctl":           (233, 21),
    "epoll_pwait":         (281, 22),
    "epoll_wait":          (232, None),
    "exit":                 (60, 93),
    "exit_group":          (231, 94),
    "faccessat":           (269, 48),
    "faccessat2":          (439, 439),
    "fcntl":                (72, 25),
    "fstat":                 (5, 80),
    "futex":               (202, 98),
    "getcwd":               (79, 17),
    "getdents64":          (217, 61),
    "getpeername":          (52, 205),
    "getpid":               (39, 172),
    "getrandom":           (318, 278),
    "getsockname":          (51, 204),
    "getsockopt":           (55, 209),
    "gettid":              (186, 178),
    "gettimeofday":         (96, 169),
    "ioctl":                (16, 29),
    "lseek":                 (8, 62),
    "lstat":                 (6, None),
    "madvise":              (28, 233),
    "membarrier":          (324, 283),
    "mmap":                  (9, 222),
    "mprotect":             (10, 226),
    "mremap":               (25, 216),
    "munmap":               (11, 215),
    "newfstatat":          (262, 79),
    "open":                  (2, None),
    "openat":              (257, 56),
    "openat2":             (437, 437),
    "poll":                  (7, None),
    "ppoll":               (271, 73),
    "pselect6":            (270, 72),
    "read":                  (0, 63),
    "readlink":             (89, None),
    "readlinkat":          (267, 78),
    "recvfrom":             (45, 207),
    "recvmsg":              (47, 212),
    "restart_syscall":     (219, 128),
    "rseq":                (334, 293),
    "rt_sigaction":         (13, 134),
    "rt_sigprocmask":       (14, 135),
    "rt_sigreturn":         (15, 139),
    "select":               (23, None),
    "sendmsg":              (46, 211),
    "sendto":               (44, 206),
    "setsockopt":           (54, 208),
    "shutdown":             (48, 210),
    "sigaltstack":         (131, 132),
    "stat":                  (4, None),
    "statx":               (332, 291),
    "write":                 (1, 64),
    "writev":               (20, 66),
}
# fmt: on
