"""A look's own /dev: five harmless nodes, the session's terminal, and a place for scratch files."""

from __future__ import annotations

import os

from admin.look import kernel, rights

TYPE_CHECKING = False
if TYPE_CHECKING:
    from admin.look.readable import Rules

__all__ = ["CARRIER", "SCRATCH", "Devices"]

NODES = ("null", "zero", "full", "random", "urandom", "tty")
LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
SCRATCH = "/dev/shm"  # noqa: S108  mounted by us
CARRIER = "/dev/.look"
"""Where the covers are made; gone once they are bound."""
SCRATCH_SIZE = "16m"


class Devices:
    """The nodes, taken from the host's /dev before that is covered."""

    def __init__(self, uid: int) -> None:
        """Take them; the session's own terminal becomes `uid`'s. Raises OSError."""
        self._uid = uid
        self._nodes = {}
        for name in NODES:
            if os.path.exists(f"/dev/{name}"):  # noqa: PTH110  pathlib costs 10 ms
                self._nodes[name] = kernel.clone_mount(f"/dev/{name}")
        terminal = _own_terminal()
        if terminal:
            # Every other terminal would open for reading, keystrokes included.
            self._nodes[terminal] = kernel.clone_mount(f"/dev/{terminal}")
            os.chown(f"/dev/{terminal}", uid, -1)

    def put(self) -> None:
        """Cover /dev by ours, with an empty CARRIER in it."""
        kernel.mount("tmpfs", "/dev", "mode=0755,size=64k,nr_inodes=64")
        os.mkdir("/dev/pts", 0o755)  # noqa: PTH102  pathlib costs 10 ms
        for name, descriptor in self._nodes.items():
            os.close(os.open(f"/dev/{name}", os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
            kernel.move_mount(descriptor, f"/dev/{name}")
            os.close(descriptor)
        for name, target in LINKS.items():
            os.symlink(target, f"/dev/{name}")  # noqa: PTH211  likewise
        os.mkdir(SCRATCH)  # noqa: PTH102  likewise
        options = f"mode=0700,uid={self._uid},gid={self._uid},size={SCRATCH_SIZE},nr_inodes=1k"
        kernel.mount("tmpfs", SCRATCH, options)
        os.mkdir(CARRIER, 0o700)  # noqa: PTH102  likewise

    def open_up(self) -> None:
        """Undo, for nodes and scratch only, what holds for every other mount."""
        for name in self._nodes:
            kernel.set_attributes(f"/dev/{name}", 0, kernel.MOUNT_ATTR_NODEV)
        kernel.set_attributes(SCRATCH, 0, kernel.MOUNT_ATTR_RDONLY)

    def grant(self, rules: Rules) -> None:
        """Grant the nodes and the scratch directory."""
        for name in self._nodes:
            terminal = name == "tty" or name.startswith("pts/")
            rules.grant(f"/dev/{name}", rights.TERMINAL if terminal else rights.DEVICE)
        rules.grant(SCRATCH, rights.SCRATCH)


def _own_terminal() -> str:
    """Return `pts/N` of the host's devpts that a standard descriptor is open on, or nothing."""
    for descriptor in range(3):
        if not os.isatty(descriptor):
            continue
        ours = os.fstat(descriptor)
        name = f"pts/{os.minor(ours.st_rdev)}"
        try:
            theirs = os.stat(f"/dev/{name}")  # noqa: PTH116  pathlib costs 10 ms
        except OSError:
            continue
        if os.path.samestat(ours, theirs):
            return name
    return ""
