"""What a session's processes are known by. All three are inherited, and none can be seen to be set.

The session process makes them before it starts anything, and runs none of the user's code itself.
"""

import contextlib
import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from admin.end import proc

__all__ = ["PREFIX", "UNSET", "Marks", "own_cgroup"]

PR_SET_CHILD_SUBREAPER = 36
UNSET = 0xFFFFFFFF
"""The audit session id of whoever never logged in."""
PREFIX = "session-"
"""A session's cgroup is named so, and then as the monitor names the session."""
_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class Marks:
    """The marks of the session whose process is `pid`."""

    pid: int
    cgroup: Path | None = None
    """A version 2 cgroup of the session's own."""
    hierarchy: Path | None = None
    """Where all version 2 cgroups are seen."""
    audit: int = UNSET
    """The audit session id, when it is the session's own."""
    others: frozenset[int] = frozenset()
    """More audit session ids of its own, where its parts were marked one by one."""
    lacking: tuple[str, ...] = ()
    """A sentence for each mark that this machine refused."""

    @classmethod
    def make(cls, uid: int, name: str = "") -> "Marks":
        """Mark this process, and so all that it will start for `uid`; `name` is the session's."""
        lacking = []
        if _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
            lacking.append("it is no subreaper")
        cgroup = hierarchy = None
        try:
            hierarchy, ours = own_cgroup(
                *(os.fsdecode(proc.read(f"/proc/self/{file}")) for file in ("mountinfo", "cgroup"))
            )
            cgroup = ours / f"{PREFIX}{name or os.urandom(4).hex()}"
            cgroup.mkdir()
        except (OSError, ValueError) as error:
            lacking.append(f"it has no cgroup: {error}")
            cgroup = None
        audit = UNSET
        try:
            proc.write("/proc/self/loginuid", b"%d" % uid)
            audit = int(proc.read("/proc/self/sessionid"))
        except (OSError, ValueError) as error:
            lacking.append(f"it has no audit session id: {error}")
        return cls(os.getpid(), cgroup, hierarchy, audit, lacking=tuple(lacking))

    def bears(self, audit: int) -> bool:
        """Whether an audit session id is the session's."""
        return audit != UNSET and (audit == self.audit or audit in self.others)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Stand in the session's cgroup: whoever is born meanwhile is born in it."""
        if self.cgroup is None:
            yield
            return
        _move(self.cgroup)
        try:
            yield
        finally:
            _move(self.cgroup.parent)

    def kill(self) -> None:
        """Kill all that is in the cgroup and below it, frozen first so that nobody is faster."""
        if self.cgroup is not None:
            for name, value in (
                ("cgroup.freeze", b"1"),
                ("cgroup.kill", b"1"),
                ("cgroup.freeze", b"0"),
            ):
                # A kernel without it: the other marks are left.
                with contextlib.suppress(OSError):
                    proc.write(f"{self.cgroup}/{name}", value)

    def populated(self) -> bool:
        """Whether somebody lives in the cgroup or below it."""
        if self.cgroup is None:
            return False
        try:
            return b"populated 1" in proc.read(f"{self.cgroup}/cgroup.events")
        except OSError:
            return False

    def remove(self) -> None:
        """Remove the cgroup and what was made below it; one that is busy stays."""
        if self.cgroup is not None:
            below = [Path(place) for place, _, _ in os.walk(self.cgroup, topdown=False)]
            for place in below:
                with contextlib.suppress(OSError):
                    place.rmdir()


def own_cgroup(mountinfo: str, cgroup: str) -> tuple[Path, Path]:
    """Return the mount of version 2's hierarchy and our own cgroup in it. Raises ValueError.

    Both files as proc(5) describes them, read by one process.
    """
    (path,) = [line[3:] for line in cgroup.splitlines() if line.startswith("0::")] or [""]
    for line in mountinfo.splitlines():
        fields, _, kind = line.partition(" - ")
        root, point = fields.split()[3:5]
        if kind.split()[0] == "cgroup2" and path and _is_below(path, root):
            return Path(point), Path(point, os.path.relpath(path, root))
    raise ValueError("no version 2 hierarchy holds this process")


def _is_below(path: str, root: str) -> bool:
    return root in {"/", path} or path.startswith(f"{root}/")


def _move(cgroup: Path) -> None:
    proc.write(f"{cgroup}/cgroup.procs", b"0")
