"""A workload on the host: namespaces of its own, and a root that holds one busybox or nothing.

`workload.py ROOT SECONDS` makes the root in the empty directory ROOT, says a line, and becomes PID
1 of the workload, a `sleep` of so many seconds.
"""

import os
import shutil
import socket
import sys
from pathlib import Path

from dev import kernel

OWN = (
    kernel.CLONE_NEWNS
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWNET
)


def main() -> None:
    """Make the workload; with a third argument, one whose root is empty."""
    root, seconds, empty = Path(sys.argv[1]), sys.argv[2], len(sys.argv) > 3
    sleep = os.open("/bin/busybox", os.O_RDONLY | os.O_CLOEXEC)
    kernel.unshare(OWN)
    if os.fork():
        os.wait()
        return
    socket.sethostname("workload")
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", str(root), "tmpfs", data="mode=0755")
    if not empty:
        (root / "bin").mkdir()
        shutil.copy("/bin/busybox", root / "bin/busybox")
        for name in ("sh", "ls", "cat", "readlink", "hostname", "sleep"):
            (root / "bin" / name).symlink_to("busybox")
        (root / "proc").mkdir()
        kernel.mount("proc", str(root / "proc"), "proc")
    os.chdir(root)
    kernel.pivot_root(".", ".")
    kernel.umount2(".", kernel.MNT_DETACH)
    os.chdir("/")
    os.write(1, b"up\n")
    os.execve(sleep, ["sleep", seconds], {})  # noqa: S606  by descriptor


if __name__ == "__main__":
    main()
