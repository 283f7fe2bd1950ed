"""The stand-in's file systems: what its PID 1 sees, mounted from inside its fresh namespaces.

The root is an overlay of the machine's root without an upper layer: writes give EROFS and no
remount changes that. A read-only bind would be no protection, since root can remount it. Binds come
after the tmpfs mounts, so that a clone below /tmp or /var/tmp is seen too.
"""

import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import NoReturn, TypedDict

from dev import cgroups, kernel

__all__ = ["Plan"]

SIOCSIFFLAGS = 0x8914  # netdevice(7)
IFF_UP = 1

DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "kmsg", "fuse")
SCRATCH = "/tmp"  # noqa: S108  a mount point for a tmpfs in a private mount namespace
SHELL_PLACES = ("/usr/bin", "/usr/sbin", "/usr/local", "/opt", "/home", "/root")
SHELL_FREE = ("python3", "crun", "runc", "conmon", "skopeo", "umoci", "catatonit")
"""What a host without a shell keeps of /usr/bin: what the daemon runs."""


class Plan(TypedDict):
    """What the stand-in needs to know, as its parent writes it on the pipe."""

    name: str
    binds: list[str]
    readonly: list[str]
    cgroups: list[str]
    shell: bool
    net: bool
    follow: bool


def build(plan: Plan) -> None:
    """Build the root in the caller's fresh mount namespace and move into it. Raises OSError."""
    held = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in plan["binds"]}
    text, membership = Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup")
    found = cgroups.hierarchies(text, membership.read_text())
    resolver = _resolver()
    programs = {} if plan["shell"] else _programs()
    machine = os.open("/", os.O_PATH | os.O_CLOEXEC)
    kernel.leave_chroot()
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    root = _overlay(machine)
    _pseudo(root, machine)
    _cgroup_mounts(root, found)
    if not plan["shell"]:
        _hide_shells(root, programs)
    for path, descriptor in held.items():
        _bind(root, path, descriptor, readonly=path in plan["readonly"])
    _pivot(root)
    _resolve(resolver)
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_SHARED)
    socket.sethostname("standin")


def _overlay(machine: int) -> str:
    """Mount the upper-less overlay of the root that `machine` holds and return its place."""
    kernel.mount("tmpfs", SCRATCH, "tmpfs", data="mode=0700")
    empty, root = f"{SCRATCH}/empty", f"{SCRATCH}/root"
    for path in (empty, root):
        os.mkdir(path, 0o755)  # noqa: PTH102
    # The empty layer lies on a tmpfs: one inside `/` would be a loop (ELOOP).
    kernel.mount("overlay", root, "overlay", data=f"lowerdir={empty}:/proc/self/fd/{machine}")
    return root


def _pseudo(root: str, machine: int) -> None:
    """Mount /proc, /sys, /dev, /run and the temporary places, all of them new."""
    quiet = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("proc", f"{root}/proc", "proc", quiet)
    kernel.mount("sysfs", f"{root}/sys", "sysfs", quiet)
    kernel.mount("tmpfs", f"{root}/dev", "tmpfs", kernel.MS_NOSUID, "mode=0755")
    for name in DEVICES:
        source, place = f"/proc/self/fd/{machine}/dev/{name}", f"{root}/dev/{name}"
        if Path(source).exists():
            Path(place).touch()
            kernel.mount(source, place, "", kernel.MS_BIND)
    for name in ("pts", "shm", "mqueue"):
        os.mkdir(f"{root}/dev/{name}", 0o755)  # noqa: PTH102
    options = "newinstance,ptmxmode=0666,mode=0620,gid=5"
    kernel.mount("devpts", f"{root}/dev/pts", "devpts", kernel.MS_NOSUID, options)
    kernel.mount("tmpfs", f"{root}/dev/shm", "tmpfs", quiet, "mode=1777")  # noqa: S108  its place
    kernel.mount("mqueue", f"{root}/dev/mqueue", "mqueue", quiet)
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0"}
    for name, target in {**links, "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}.items():
        os.symlink(target, f"{root}/dev/{name}")  # noqa: PTH211
    secure = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("tmpfs", f"{root}/run", "tmpfs", secure, "mode=0755")
    for place in ("tmp", "var/tmp"):
        kernel.mount("tmpfs", f"{root}/{place}", "tmpfs", secure, "mode=1777")


def _cgroup_mounts(root: str, found: list[cgroups.Hierarchy]) -> None:
    """Mount every hierarchy anew: in our own cgroup namespace their roots are our cgroups."""
    top = f"{root}/sys/fs/cgroup"
    quiet = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    if any(hierarchy.kind == "cgroup" for hierarchy in found):
        kernel.mount("tmpfs", top, "tmpfs", quiet, "mode=0755")
    for hierarchy in found:
        point = f"{root}{hierarchy.point}"
        Path(point).mkdir(exist_ok=True)
        data = hierarchy.options
        if data.startswith("name="):
            data = f"none,{data}"
        kernel.mount(hierarchy.kind, point, hierarchy.kind, quiet, data)


def _programs() -> dict[str, int]:
    """Open the programs that a host without a shell keeps, python's real file included."""
    held = {}
    for name in (*SHELL_FREE, f"python3.{sys.version_info.minor}"):
        path = Path("/usr/bin", name)
        if path.exists():
            held[name] = os.open(path.resolve(), os.O_PATH | os.O_CLOEXEC)
    return held


def _hide_shells(root: str, programs: dict[str, int]) -> None:
    for place in SHELL_PLACES:
        kernel.mount("tmpfs", f"{root}{place}", "tmpfs", kernel.MS_NODEV, "mode=0755")
    for name, descriptor in programs.items():
        _bind(root, f"/usr/bin/{name}", descriptor, readonly=True)


def _bind(root: str, path: str, descriptor: int, *, readonly: bool) -> None:
    """Bind what `descriptor` holds at `path` below `root`, making the place where it must."""
    target = Path(f"{root}{path}")
    source = f"/proc/self/fd/{descriptor}"
    directory = Path(source).is_dir()
    if not target.exists():
        _make_place(target, directory=directory)
    kernel.mount(source, str(target), "", kernel.MS_BIND | kernel.MS_REC)
    if readonly:
        flags = kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY
        kernel.mount("none", str(target), "", flags)


def _make_place(target: Path, *, directory: bool) -> None:
    """Make a mount point; where the overlay forbids it, its nearest parent becomes a tmpfs."""
    parent = target if directory else target.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        above = next(place for place in parent.parents if place.is_dir())
        kernel.mount("tmpfs", str(above), "tmpfs", kernel.MS_NODEV, "mode=0755")
        parent.mkdir(parents=True)
    if not directory:
        target.touch()


def _pivot(root: str) -> None:
    os.chdir(root)
    kernel.pivot_root(".", ".")
    # Both roots now lie on the same place, the old one on top (pivot_root(2), NOTES).
    kernel.umount2(".", kernel.MNT_DETACH)
    os.chdir("/")


def _resolver() -> tuple[str, bytes] | None:
    """Return where /etc/resolv.conf points and its bytes, if that is a place we hide."""
    path = Path("/etc/resolv.conf")
    if not path.is_symlink() or not path.exists():
        return None
    return os.path.realpath(path), path.read_bytes()


def _resolve(resolver: tuple[str, bytes] | None) -> None:
    if resolver is not None and resolver[0].startswith("/run/"):
        place = Path(resolver[0])
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(resolver[1])


def main() -> None:
    """Bring up the stand-in's PID 1: the plan is a line on stdin, the pid goes to stdout.

    A second line says that the pid is remembered; where stdin ends before it, the stand-in does
    too. With `follow` a process stays behind until stdin ends, and the stand-in dies with it.
    """
    plan: Plan = json.loads(sys.stdin.readline())
    cgroups.enter([Path(path) for path in plan["cgroups"]])
    if os.fork():
        os._exit(0)
    flags = kernel.CLONE_NEWNS | kernel.CLONE_NEWUTS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWPID
    kernel.unshare(flags | (kernel.CLONE_NEWNET if plan["net"] else 0))
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        _become(plan, tell)
    os.close(tell)
    failure = os.read(told, 4096)
    if failure:
        os.waitpid(pid, 0)
        sys.exit(failure.decode())
    print(pid, flush=True)
    _silence(1, 2)
    if not sys.stdin.readline():
        os.kill(pid, signal.SIGKILL)
    elif plan["follow"]:
        # Until our maker's end of the pipe closes, or the stand-in has ended by itself.
        select.select([sys.stdin, os.pidfd_open(pid)], [], [])
    os._exit(0)


def _silence(*descriptors: int) -> None:
    """Point descriptors at /dev/null."""
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(null, descriptor)


def _become(plan: Plan, tell: int) -> NoReturn:
    """Build the root and execute the init; on failure tell why and end."""
    try:
        if plan["follow"]:
            # Survives exec; the pid namespace ends with its first process.
            kernel.die_with_parent(signal.SIGKILL)
        kernel.unshare(kernel.CLONE_NEWCGROUP)
        build(plan)
        if plan["net"]:
            _loopback()
        os.setsid()
        _silence(0, 1, 2)
        os.execv("/usr/bin/catatonit", ["catatonit", "-P"])  # noqa: S606  no shell in between
    except OSError as error:
        os.write(tell, f"{error.strerror}".encode())
    os._exit(1)


def _loopback() -> None:
    """Bring the loopback interface up (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", IFF_UP)
        fcntl.ioctl(control, SIOCSIFFLAGS, request)


if __name__ == "__main__":
    main()
