"""A mount table, read: where a file shows a second time, and what may hang. Pure."""

from __future__ import annotations

__all__ = ["Mount", "Table"]

_NETWORK = ("nfs", "cifs", "smb", "ceph", "afs", "9p", "fuse", "autofs", "gfs", "ocfs", "lustre")
"""Beginnings of the names of file systems whose server may be gone: nothing there is touched."""


class Mount:
    """One line of /proc/PID/mountinfo (proc(5))."""

    __slots__ = ("device", "kind", "point", "root")

    def __init__(self, line: str) -> None:
        before, _, after = line.partition(" - ")
        _, _, self.device, root, point = before.split(" ", 5)[:5]
        self.root = _plain(root)
        """The part of the file system that is mounted."""
        self.point = _plain(point)
        self.kind = after.split(" ", 1)[0]


class Table:
    """All mounts of a namespace, in their order."""

    def __init__(self, text: str) -> None:
        self.mounts = [Mount(line) for line in text.splitlines()]
        self._on_top = {mount.point: mount for mount in self.mounts}
        self._by_device: dict[str, list[Mount]] = {}
        for mount in self.mounts:
            self._by_device.setdefault(mount.device, []).append(mount)

    def holding(self, path: str) -> Mount:
        """Return the mount that the absolute path `path` lies on."""
        while path not in self._on_top and path != "/":
            path = path.rpartition("/")[0] or "/"
        return self._on_top[path] if path in self._on_top else self.mounts[0]

    def may_hang(self, path: str) -> bool:
        """Say whether a look at `path` may wait for a server that is gone.

        A root file system over the network is alive, or nothing else were.
        """
        mount = self.holding(path)
        return mount.point != "/" and mount.kind.startswith(_NETWORK)

    def automounts(self) -> list[str]:
        """Return the mount points that walking into would make the host mount something."""
        return [point for point, mount in self._on_top.items() if mount.kind == "autofs"]

    def inner(self, path: str) -> tuple[str, str]:
        """Return (device, path in its file system) of what lies at the absolute path `path`."""
        mount = self.holding(path)
        return mount.device, _join(mount.root, path[len(mount.point.rstrip("/")) :])

    def showing(self, device: str, inner: str) -> list[str]:
        """Return every path that shows `inner` of the file system `device`, or a part of it."""
        found = []
        for mount in self._by_device.get(device, []):
            if (rest := _below(inner, mount.root)) is not None:
                found.append(_join(mount.point, rest))
            elif _below(mount.root, inner) is not None:
                found.append(mount.point)
        return found


def _below(path: str, directory: str) -> str | None:
    """Return what of `path` comes behind `directory`, None where it lies elsewhere."""
    directory = directory.rstrip("/")
    if path == directory or path.startswith(f"{directory}/"):
        return path[len(directory) :]
    return None


def _join(directory: str, rest: str) -> str:
    return (directory.rstrip("/") + rest) or "/"


def _plain(field: str) -> str:
    """Undo the octal escapes of space, tab, newline and backslash."""
    if "\\" not in field:
        return field
    first, *others = field.split("\\")
    return first + "".join(chr(int(one[:3], 8)) + one[3:] for one in others)
