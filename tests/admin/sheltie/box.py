"""A container of the superpowered shape inside a stand-in host.

It has the host's pid namespace, and mount, ipc, uts, cgroup and network namespaces of its own.
`box.py STATE` builds it over the empty directory STATE/root and stays; a line on stdout says so.
The static shells lie in STATE.
"""

import os
import signal
import socket
import sys
from pathlib import Path

from dev import kernel

CLONE = Path(__file__).resolve().parents[3]
HOST_ROOT = ".bottlerocket/rootfs"
OWN = ("dev", "opt", "run", "tmp", ".bottlerocket")


def build(state: Path) -> None:
    """Build a root of binds over `state`/root and pivot into it."""
    root = state / "root"
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", str(root), "tmpfs", data="mode=0755")
    for entry in sorted(Path("/").iterdir()):
        target = root / entry.name
        if entry.is_symlink():
            target.symlink_to(entry.readlink())
        elif entry.is_dir():
            target.mkdir()
            if entry.name not in OWN:
                kernel.mount(str(entry), str(target), "", kernel.MS_BIND | kernel.MS_REC)
    for place in OWN:
        (root / place).mkdir(exist_ok=True)
    if CLONE.parts[1] in OWN:
        here = root / CLONE.relative_to("/")
        here.mkdir(parents=True)
        kernel.mount(str(CLONE), str(here), "", kernel.MS_BIND | kernel.MS_REC)
    _devices(root / "dev")
    _shells(root / "opt/bin", state)
    (root / HOST_ROOT).mkdir()
    kernel.mount("/", str(root / HOST_ROOT), "", kernel.MS_BIND | kernel.MS_REC)
    os.chdir(root)
    kernel.pivot_root(".", ".")
    kernel.umount2(".", kernel.MNT_DETACH)
    os.chdir("/")


def _devices(place: Path) -> None:
    for name in ("null", "zero", "urandom", "tty"):
        (place / name).touch()
        kernel.mount(f"/dev/{name}", str(place / name), "", kernel.MS_BIND)
    (place / "pts").mkdir()
    kernel.mount("devpts", str(place / "pts"), "devpts", data="newinstance,ptmxmode=0666")
    (place / "ptmx").symlink_to("pts/ptmx")


def _shells(place: Path, state: Path) -> None:
    place.mkdir(parents=True)
    for name, source in (("bash", "bash-static"), ("busybox", "busybox")):
        (place / name).write_bytes((state / source).read_bytes())
        (place / name).chmod(0o755)


def main() -> None:
    """Leave the host's namespaces, build, and wait to be ended."""
    own = kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS | kernel.CLONE_NEWCGROUP
    kernel.unshare(own | kernel.CLONE_NEWNET)
    socket.sethostname("box")
    build(Path(sys.argv[1]))
    sys.stdout.write(f"{os.getpid()}\n")
    sys.stdout.flush()
    signal.pause()


if __name__ == "__main__":
    main()
