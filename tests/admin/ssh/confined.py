"""Run as the listener runs, and try what it must not: prints a JSON object of attempt and outcome.

Each attempt is a fork of its own: `killed` is SIGSYS, `refused` an errno, `done` that it worked.
"""

import ctypes
import errno
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from admin.ssh.confine import bound, drop_privileges
from admin.ssh.seccomp import confine

LIBC = ctypes.CDLL(None, use_errno=True)
NAMES = ctypes.CDLL("libseccomp.so.2")
NOBODY = 65534

# What a listener could call; arguments are zeros unless they are given.
CALLS: dict[str, tuple[int, ...]] = {
    "socket": (socket.AF_INET, socket.SOCK_STREAM, 0),
    "socketpair": (socket.AF_UNIX, socket.SOCK_STREAM, 0),
    "connect": (), "bind": (), "listen": (), "accept4": (),
    "clone": (17,), "clone3": (), "fork": (), "vfork": (), "execve": (), "execveat": (),
    "kill": (1, 0), "tgkill": (), "pidfd_open": (1,), "pidfd_getfd": (), "pidfd_send_signal": (),
    "ptrace": (16, 1), "process_vm_readv": (1,), "process_vm_writev": (1,), "kcmp": (1,),
    "setuid": (0,), "setresuid": (0, 0, 0), "setgid": (0,), "setgroups": (), "capset": (),
    "unshare": (0x10000000,), "setns": (), "mount": (), "umount2": (), "chroot": (),
    "pivot_root": (), "mknodat": (), "unlinkat": (), "renameat2": (), "mkdirat": (),
    "symlinkat": (), "linkat": (), "fchmodat": (), "fchownat": (), "ftruncate": (), "truncate": (),
    "memfd_create": (), "dup": (0,), "dup3": (), "pipe2": (), "eventfd2": (),
    "io_uring_setup": (1,),
    "bpf": (), "perf_event_open": (), "userfaultfd": (), "keyctl": (), "add_key": (),
    "prctl": (22,), "seccomp": (), "personality": (), "modify_ldt": (), "init_module": (),
    "finit_module": (), "kexec_load": (), "reboot": (), "syslog": (), "open_by_handle_at": (),
    "name_to_handle_at": (), "inotify_init1": (), "fanotify_init": (), "prlimit64": (),
    "shmget": (), "msgget": (), "mq_open": (), "timer_create": (), "setitimer": (), "sendfile": (),
    "splice": (), "tee": (), "vmsplice": (), "copy_file_range": (), "epoll_create1": (),
    "landlock_create_ruleset": (), "process_madvise": (), "mlockall": (), "setpriority": (),
    "openat": (-100,), "openat2": (-100,), "newfstatat": (-100,), "readlinkat": (-100,),
    "statx": (-100,), "faccessat": (-100,), "getcwd": (), "getdents64": (),
}  # fmt: skip


def call(name: str, *arguments: int) -> Callable[[], None]:
    """Return an attempt at a system call by its name on this machine."""
    number = NAMES.seccomp_syscall_resolve_name(name.encode())

    def attempt() -> None:
        six = [ctypes.c_long(value) for value in (*arguments, 0, 0, 0, 0, 0, 0)[:6]]
        if LIBC.syscall(ctypes.c_long(number), *six) < 0:
            raise OSError(ctypes.get_errno(), name)

    return attempt if number >= 0 else absent


def absent() -> None:
    """Stand for a call that this architecture does not have: as good as killed."""
    os.kill(os.getpid(), 0)


def attempts() -> dict[str, Callable[[], object]]:
    """Return everything that is tried."""
    found: dict[str, Callable[[], object]] = {
        name: call(name, *arguments) for name, arguments in CALLS.items()
    }
    pair = socket.socketpair()
    found |= {
        "mmap executable": call("mmap", 0, 4096, 1 | 4, 0x22, -1, 0),
        "mprotect executable": call("mprotect", 0, 4096, 1 | 4),
        "fcntl duplicate": call("fcntl", pair[0].fileno(), 0, 0),
        "ioctl TIOCSTI": call("ioctl", 0, 0x5412),
        "x32 getpid": call_number(0x40000000 | 39),
        "read a file": lambda: Path("/etc/passwd").read_text(),
        "write a file": lambda: Path("/tmp/sheltie-listener").write_text("x"),
        "late import": lambda: __import__("wave"),
        "talk": lambda: talk(*pair),
        "memory": lambda: bytearray(64 << 20),
        "too much memory": lambda: bytearray(512 << 20),
        "random": lambda: os.urandom(16),
    }
    return found


def call_number(number: int) -> Callable[[], None]:
    """Return an attempt at a bare number."""

    def attempt() -> None:
        if LIBC.syscall(ctypes.c_long(number), 0, 0, 0, 0, 0, 0) < 0:
            raise OSError(ctypes.get_errno(), str(number))

    return attempt


def talk(one: socket.socket, other: socket.socket) -> None:
    """Do what a listener is for."""
    one.sendall(b"hello")
    if other.recv(16) != b"hello":
        raise OSError(errno.EIO, "talk")


def outcome(attempt: Callable[[], object]) -> str:
    """Fork, become a listener, try."""
    pid = os.fork()
    if not pid:
        drop_privileges(NOBODY, NOBODY)
        bound()
        confine()
        try:
            attempt()
        except OSError as error:
            os._exit(100 + (error.errno == errno.EPERM))
        except (ImportError, MemoryError):
            os._exit(101)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return "killed" if os.WTERMSIG(status) == signal.SIGSYS else f"signal {status}"
    return {0: "done", 101: "refused"}.get(os.WEXITSTATUS(status), "another error")


if __name__ == "__main__":
    print(json.dumps({name: outcome(attempt) for name, attempt in attempts().items()}))  # noqa: T201  its answer
