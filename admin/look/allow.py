"""What a look's processes may ask of the kernel: an allow-list by name, the same for every machine.

What is not named here is refused with EPERM, what no table of ours knows with ENOSYS, so that C
libraries fall back to older calls. Numbers and arguments: man 2 of each; asm-generic/ioctls.h,
linux/fcntl.h, linux/prctl.h.
"""

from __future__ import annotations

import errno

__all__ = ["ALLOW", "ALLOWED", "ANSWERED", "CASES", "KILL", "LAST_KNOWN", "Case", "answer"]

# linux/seccomp.h
ALLOW = 0x7FFF0000
KILL = 0x80000000  # the process
_ERRNO = 0x00050000

LAST_KNOWN = 467
"""The newest call that was judged here, open_tree_attr: later numbers are answered by ENOSYS."""

Condition = tuple[int, int, frozenset[int]]
"""(offset in struct seccomp_data, mask, values): the 32-bit word there, masked, is one of them."""
Case = tuple[tuple[Condition, ...], int]
"""If every condition holds: this action."""


def answer(number: int) -> int:
    """Return the action that does nothing and answers `number`; 0 pretends that it was done."""
    return _ERRNO | number


def _low(argument: int, *values: int, mask: int = 0xFFFFFFFF) -> Condition:
    # Both architectures are little-endian. The kernel takes these arguments as 32 bits too.
    return 16 + 8 * argument, mask, frozenset(values)


def _high(argument: int, *values: int) -> Condition:
    return 20 + 8 * argument, 0xFFFFFFFF, frozenset(values)


_ALLOWED = """
    # Files, for reading; opening for writing is refused by the mounts and by Landlock.
    open openat openat2 close close_range read pread64 readv preadv preadv2 write writev pwrite64
    pwritev pwritev2 lseek stat lstat fstat newfstatat statx statfs fstatfs statmount listmount
    access faccessat faccessat2 readlink readlinkat getdents getdents64 getcwd chdir fchdir dup
    dup2 dup3 pipe pipe2 umask getxattr lgetxattr fgetxattr getxattrat listxattr llistxattr
    flistxattr listxattrat name_to_handle_at sendfile splice tee vmsplice copy_file_range
    fadvise64 readahead inotify_init inotify_init1 inotify_add_watch inotify_rm_watch cachestat
    # The session's own temporary files; Landlock and the mounts hold them there.
    unlink unlinkat mkdir mkdirat rmdir rename renameat renameat2 ftruncate fallocate
    # Memory.
    brk mmap munmap mremap mprotect madvise mlock mlock2 munlock memfd_create membarrier
    get_mempolicy mincore map_shadow_stack
    # Processes; whom a signal reaches is a matter of the uid and of Landlock.
    execve execveat exit exit_group fork vfork wait4 waitid kill tkill tgkill rt_sigqueueinfo
    rt_tgsigqueueinfo pidfd_open pidfd_send_signal getpid getppid gettid getpgid getpgrp getsid
    setpgid setsid getuid geteuid getgid getegid getresuid getresgid getgroups capget capset
    getpriority getrlimit getrusage sysinfo uname times getcpu arch_prctl set_tid_address
    set_robust_list get_robust_list rseq sched_yield sched_getaffinity sched_getscheduler
    sched_getparam sched_getattr sched_get_priority_max sched_get_priority_min
    sched_rr_get_interval ioprio_get restart_syscall setfsuid setfsgid
    # Signals and waiting.
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait
    sigaltstack signalfd signalfd4 poll ppoll select pselect6 epoll_create epoll_create1
    epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2 futex futex_waitv futex_wake
    futex_wait futex_requeue pause
    # Time.
    time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep alarm getitimer
    setitimer timer_create timer_settime timer_gettime timer_getoverrun timer_delete
    timerfd_create timerfd_settime timerfd_gettime
    # Netlink, the one family that a socket may have here.
    bind sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg getsockname getpeername getsockopt
    setsockopt shutdown
    getrandom
"""
ALLOWED = frozenset(
    word
    for line in _ALLOWED.splitlines()
    if not line.lstrip().startswith("#")
    for word in line.split()
)

_READ_ONLY = answer(errno.EROFS)
_DONE = answer(0)

_CHANGES = """
    chmod fchmod fchmodat fchmodat2 chown lchown fchown fchownat utime utimes futimesat utimensat
    setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat
    creat truncate link linkat symlink symlinkat mknod mknodat
"""
_HOLD_UP = "flock fsync fdatasync sync syncfs sync_file_range msync"

ANSWERED = {
    # What a read-only file system would say: programs know how to go on from there.
    **dict.fromkeys(_CHANGES.split(), _READ_ONLY),
    # A reader's lock would hold up daemons of the host, its sync their disks; refused, sqlite and
    # rpm complain. So it is said to be done.
    **dict.fromkeys(_HOLD_UP.split(), _DONE),
    # The C library falls back to clone and to plain I/O.
    "clone3": answer(errno.ENOSYS),
    "io_uring_setup": answer(errno.ENOSYS),
    "socketpair": answer(errno.EAFNOSUPPORT),
}

_AF_NETLINK = 16
_NETLINK_ROUTE, _NETLINK_SOCK_DIAG = 0, 4
# CLONE_NEWTIME shares its bit with the exit signal and is not taken by clone(2).
_CLONE_NEW_OR_PARENT = 0x7E020000 | 0x00008000

_FCNTL = (
    0, 1, 2, 3, 4,  # DUPFD, GETFD, SETFD, GETFL, SETFL
    5, 36, 9,  # GETLK, OFD_GETLK, GETOWN
    1025, 1030, 1031, 1032, 1033, 1034,  # GETLEASE, DUPFD_CLOEXEC, pipe sizes, seals
)  # fmt: skip
_LOCKS = (6, 7, 37, 38)  # SETLK, SETLKW and their OFD kin

_IOCTL = (
    0x5401, 0x5402, 0x5403, 0x5404,  # TCGETS, TCSETS, TCSETSW, TCSETSF
    0x802C542A, 0x402C542B, 0x402C542C, 0x402C542D,  # their termios2 kin
    0x5409, 0x540A, 0x540B,  # TCSBRK, TCXONC, TCFLSH
    0x540E, 0x540F, 0x5410, 0x5411,  # TIOCSCTTY, TIOCGPGRP, TIOCSPGRP, TIOCOUTQ
    0x5413, 0x5414, 0x541B,  # TIOCGWINSZ, TIOCSWINSZ, FIONREAD
    0x5421, 0x5422, 0x5429, 0x5450, 0x5451,  # FIONBIO, TIOCNOTTY, TIOCGSID, FIONCLEX, FIOCLEX
    0x80086601, 0x801C581F,  # FS_IOC_GETFLAGS, FS_IOC_FSGETXATTR
)  # fmt: skip

_PRCTL = (
    1, 2, 3, 4, 15, 16, 21, 23,  # death signal, dumpable, name, seccomp?, in the bounding set?
    27, 29, 30, 38, 39, 40,  # securebits?, timer slack, no_new_privs, tid address
    0x53564D41,  # names of memory areas
)  # fmt: skip
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_IS_SET = 1

CASES: dict[str, tuple[tuple[Case, ...], int]] = {
    "socket": (
        (((_low(0, _AF_NETLINK), _low(2, _NETLINK_ROUTE, _NETLINK_SOCK_DIAG)), ALLOW),),
        answer(errno.EAFNOSUPPORT),
    ),
    "clone": ((((_low(0, 0, mask=_CLONE_NEW_OR_PARENT),), ALLOW),), answer(errno.EPERM)),
    "fcntl": (
        (((_low(1, *_FCNTL),), ALLOW), ((_low(1, *_LOCKS),), _DONE)),
        answer(errno.EPERM),
    ),
    "ioctl": ((((_low(1, *_IOCTL),), ALLOW),), answer(errno.ENOTTY)),
    "prctl": (
        (
            ((_low(0, *_PRCTL),), ALLOW),
            ((_low(0, _PR_CAP_AMBIENT), _low(1, _PR_CAP_AMBIENT_IS_SET)), ALLOW),
        ),
        answer(errno.EPERM),
    ),
    # One's own limits, or to read somebody's.
    "prlimit64": (
        (((_low(0, 0),), ALLOW), ((_low(2, 0), _high(2, 0)), ALLOW)),
        answer(errno.EPERM),
    ),
    # READ_ALL and SIZE_BUFFER: the others take messages away or switch the console.
    "syslog": ((((_low(0, 3, 10),), ALLOW),), answer(errno.EPERM)),
    "personality": ((((_low(0, 0, 0xFFFFFFFF),), ALLOW),), answer(errno.EPERM)),
}
