"""Random system calls of those that change things: `python3 hammer.py WHERE SEED COUNT`."""

import ctypes
import json
import os
import random
import resource
import signal
import sys

BATCH = 250
NAMES = """
    open openat creat truncate ftruncate fallocate rename renameat renameat2 link linkat symlink
    symlinkat unlink unlinkat rmdir mkdir mkdirat mknod mknodat chmod fchmod fchmodat chown lchown
    fchown fchownat utime utimes futimesat utimensat setxattr lsetxattr fsetxattr removexattr
    lremovexattr fremovexattr write pwrite64 writev pwritev pwritev2 sendfile splice tee vmsplice
    copy_file_range ioctl fcntl flock fsync sync_file_range mount umount2 pivot_root chroot
    mount_setattr open_tree move_mount fsopen fsmount fspick fsconfig setns unshare socket
    socketpair connect bind listen sendto sendmsg sendmmsg shutdown setsockopt shmget shmat shmctl
    semget semop semctl msgget msgsnd msgctl mq_open mq_unlink add_key request_key keyctl swapon
    swapoff sethostname setdomainname acct quotactl bpf perf_event_open userfaultfd fanotify_init
    fanotify_mark io_uring_setup io_uring_enter io_uring_register init_module finit_module
    delete_module kexec_load open_by_handle_at name_to_handle_at ptrace process_vm_writev
    pidfd_open pidfd_getfd pidfd_send_signal tgkill rt_sigqueueinfo setpriority ioprio_set
    sched_setaffinity sched_setscheduler sched_setattr prlimit64 prctl capset setuid setgid
    setresuid setresgid setgroups personality syslog inotify_init1 inotify_add_watch memfd_create
    process_madvise migrate_pages move_pages landlock_create_ruleset seccomp
"""
"""Left out: setting the clock and reboot, which nobody tries by chance."""


def main() -> None:
    """Make the calls in children, which may die of them; tell how many succeeded, by name."""
    where, seed, count = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    ours, theirs = os.pipe()
    for batch in range(count // BATCH):
        one = os.fork()
        if not one:
            _hammer(where, random.Random(seed * 1000 + batch), theirs)  # noqa: S311  not a secret
        os.waitpid(one, 0)
    os.close(theirs)
    with os.fdopen(ours) as told:
        lines = told.read().split()
    sys.stdout.write(json.dumps({"batches": count // BATCH, "succeeded": sorted(set(lines))}))


def _hammer(where: dict[str, str], chance: random.Random, tell: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(5)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    resolve = ctypes.CDLL("libseccomp.so.2").seccomp_syscall_resolve_name
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 1)
    paths = [
        f"{where['place']}/{name}"
        for name in ("file", "other", "directory", "link", "new", "stream")
    ]
    paths += ["/", "/etc", "/etc/passwd", "/run", "/tmp", "/sys/fs/cgroup/unified", "/proc/sys"]
    descriptors = [os.open(path, os.O_RDONLY) for path in (*paths[:3], "/etc", "/")]
    names = NAMES.split()
    succeeded = set()
    for _ in range(BATCH):
        name = chance.choice(names)
        words = [_word(chance, paths, descriptors, where) for _ in range(6)]
        if libc.syscall(ctypes.c_long(resolve(name.encode())), *words) >= 0:
            succeeded.add(name)
    os.write(tell, "".join(f"{name}\n" for name in succeeded).encode())
    os._exit(0)


def _word(chance: random.Random, paths: list[str], descriptors: list[int], where: object) -> object:
    assert isinstance(where, dict)
    kind = chance.randrange(6)
    if kind < 2:
        return ctypes.c_char_p(chance.choice(paths).encode())
    if kind == 2:
        return ctypes.c_long(chance.choice(descriptors))
    if kind == 3:
        return ctypes.c_char_p(bytes(chance.randrange(256) for _ in range(64)))
    if kind == 4:
        return ctypes.c_long(chance.choice((0, -100, -1, 1, where["pid"], 1 << 17, 0x1000)))
    return ctypes.c_long(1 << chance.randrange(32))


if __name__ == "__main__":
    main()
