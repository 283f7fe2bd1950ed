"""The first process of a room for building: private mounts and pids, then quiet.

`python -I -m dev.room SCRATCH hide|keep` says `ready` and stays until its standard input ends; all
that runs in the room ends with it.
"""

import os
import signal
import sys

from dev import kernel

__all__ = ["main"]

# Engines write to /var/lib/containers and /var/cache/containers whatever their options say.
_HOLDER = """
set -e
mount -t tmpfs -o mode=0700 room "$1"
mkdir "$1/run" "$1/containers" "$1/cache"
if [ -d /var/lib/containers ]; then mount --bind "$1/containers" /var/lib/containers
elif [ "$2" = hide ]; then mount -t tmpfs -o mode=0755 room /var/lib; fi
if [ -d /var/cache/containers ]; then mount --bind "$1/cache" /var/cache/containers; fi
echo ready
exec cat
"""


def main(arguments: list[str]) -> int:
    """Make the room and wait for its end; return the exit status."""
    try:
        kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWPID)
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        # A chroot need not be a mount point, and engines change the propagation of what is `/`.
        kernel.leave_chroot()
        kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
        os.fchdir(root)
        place = os.getcwd()  # noqa: PTH109  as the kernel sees it, outside the chroot
        if place != "/":
            kernel.mount(place, place, flags=kernel.MS_BIND | kernel.MS_REC)
            os.chdir(place)
        os.chroot(".")
    except OSError as error:
        print(error.strerror, flush=True)
        return 1
    pid = os.fork()
    if not pid:
        _hold(arguments)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _hold(arguments: list[str]) -> None:
    try:
        kernel.die_with_parent(signal.SIGKILL)
        quiet = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
        kernel.mount("proc", "/proc", "proc", quiet)
        os.execv("/bin/sh", ["sh", "-c", _HOLDER, "sh", *arguments])  # noqa: S606
    except OSError as error:
        print(error.strerror, flush=True)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
