"""What a host looks like from the inside: mounts, listening sockets, /etc, processes.

Run on the host itself (`python -I -m dev.snapshot`) it prints one JSON object; two of them are
compared to show that coming and going left nothing. Sources: proc(5), proc_net(5).
"""

import contextlib
import json
import os
import sys
from pathlib import Path

__all__ = ["differences", "take"]

Snapshot = dict[str, list[str]]

_TCP_LISTEN = "0A"  # TCP_LISTEN of include/net/tcp_states.h
_UNIX_LISTENS = 0x10000  # __SO_ACCEPTCON of include/linux/net.h
_KERNEL_THREAD = 0x00200000  # PF_KTHREAD of include/linux/sched.h, in the flags of proc_pid_stat(5)


def take(root: int = 1) -> Snapshot:
    """Return the snapshot of the host whose first process is `root`. Raises OSError."""
    return {
        "mounts": Path(f"/proc/{root}/mountinfo").read_text().splitlines(),
        "sockets": sorted(_sockets(Path(f"/proc/{root}/net"))),
        "etc": sorted(_files(Path("/etc"))),
        "processes": sorted(_processes()),
    }


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """Return a line for each thing that came or went: `+ processes 12 sleep`."""
    lines = []
    for part in before:
        old, new = set(before[part]), set(after[part])
        lines += [f"- {part} {item}" for item in sorted(old - new)]
        lines += [f"+ {part} {item}" for item in sorted(new - old)]
    return lines


def _sockets(root: Path) -> list[str]:
    """Return the listening sockets that a process of this host holds.

    A stand-in shares its network with the machine, whose own sockets come and go.
    """
    held, found = _held(), []
    for name in ("tcp", "tcp6"):
        for line in _lines(root / name):
            fields = line.split()
            # sl local remote st tx:rx tr:when retrnsmt uid timeout inode
            if fields[3] == _TCP_LISTEN and fields[9] in held:
                found.append(f"{name} {fields[1]}")
    for line in _lines(root / "unix"):
        fields = line.split()
        # Num RefCount Protocol Flags Type St Inode Path
        listens = int(fields[3], 16) & _UNIX_LISTENS and fields[6] in held
        if listens and len(fields) > 7:  # noqa: PLR2004
            found.append(f"unix {fields[7]}")
    return found


def _held() -> set[str]:
    """Return the inodes of the sockets that processes have open (proc_pid_fd(5))."""
    inodes = set()
    for entry in Path("/proc").glob("[0-9]*"):
        # It may end while we look; and a machine may keep its own first process to itself.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            for descriptor in (entry / "fd").iterdir():
                with contextlib.suppress(FileNotFoundError):
                    target = str(descriptor.readlink())
                    if target.startswith("socket:["):
                        inodes.add(target.removeprefix("socket:[").removesuffix("]"))
    return inodes


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()[1:] if path.exists() else []


def _files(top: Path) -> list[str]:
    found = []
    for directory, _, names in os.walk(top):
        for name in names:
            path = Path(directory, name)
            status = path.lstat()
            found.append(f"{path} {status.st_mode:o} {status.st_size} {status.st_mtime_ns}")
    return found


def _processes() -> list[str]:
    """Every process but the kernel's and ourselves, as `PID COMM`."""
    mine = {os.getpid(), os.getppid()}
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in mine:
            continue
        try:
            text = (entry / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        name = text[text.index("(") + 1 : text.rindex(")")]
        flags = int(text[text.rindex(")") + 2 :].split()[6])
        if not flags & _KERNEL_THREAD:
            found.append(f"{entry.name} {name}")
    return found


if __name__ == "__main__":
    json.dump(take(), sys.stdout)
