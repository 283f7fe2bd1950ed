"""Cgroups for a stand-in host, in every hierarchy of the machine, version 1, 2 or both.

Where the machine's own cgroups lie comes from mountinfo and /proc/self/cgroup (cgroups(7)); the
directories that are made here are remembered by path and removed deepest first.
"""

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Hierarchy", "enter", "hierarchies", "make", "remove", "thaw"]

REMOVE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A mounted hierarchy: its mount point, type and options, and where this process is in it."""

    point: str
    kind: str
    options: str
    here: Path

    @property
    def name(self) -> str:
        """The mount point's own name, such as `memory` or `unified`."""
        return Path(self.point).name


def hierarchies(mountinfo: str, membership: str) -> list[Hierarchy]:
    """Return the hierarchies of a mountinfo text, with the process's place by /proc/PID/cgroup."""
    places = {}
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        places[controllers] = path
    found = []
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        root, point = fields.split()[3:5]
        kind, _, options = rest.split()[:3]
        if kind not in ("cgroup", "cgroup2"):
            continue
        names = "" if kind == "cgroup2" else _controllers(options)
        if names in places:
            inside = os.path.relpath(places[names], root)
            found.append(Hierarchy(point, kind, names, Path(point, inside)))
    return found


def make(found: Iterable[Hierarchy], name: str) -> list[Path]:
    """Make cgroup `name` below this process's own, everywhere. Raises OSError."""
    made = []
    for hierarchy in found:
        path = hierarchy.here / name
        path.mkdir()
        made.append(path)
        for setting in ("cpuset.cpus", "cpuset.mems"):
            # Version 1 leaves a new cpuset empty, and nothing can enter an empty one (cpuset(7)).
            source = hierarchy.here / setting
            if hierarchy.kind == "cgroup" and source.exists():
                (path / setting).write_text(source.read_text())
    return made


def enter(paths: Iterable[Path], pid: int = 0) -> None:
    """Move process `pid` (0: the caller) into the cgroups. Raises OSError."""
    for path in paths:
        (path / "cgroup.procs").write_text(str(pid))


def thaw(paths: Sequence[Path]) -> None:
    """Let everything below run again: a frozen process cannot die of a version 1 freezer."""
    for directory in _below(paths):
        state = directory / "freezer.state"
        if state.exists():
            state.write_text("THAWED")


def remove(paths: Sequence[Path]) -> None:
    """Remove the cgroups with everything below them. Raises OSError when one stays busy."""
    deadline = time.monotonic() + REMOVE_SECONDS
    for directory in reversed(_below(paths)):
        while True:
            try:
                directory.rmdir()
            except FileNotFoundError:
                break
            except OSError:
                # The last process may still be on its way out.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                break


def _below(paths: Sequence[Path]) -> list[Path]:
    """Return the existing directories at and below `paths`, parents before children."""
    found = []
    for path in paths:
        if path.is_dir():
            found += [Path(top) for top, _, _ in os.walk(path)]
    return found


def _controllers(options: str) -> str:
    """Return the controllers of a version 1 mount as /proc/PID/cgroup names them."""
    words = options.split(",")
    generic = {"rw", "ro", "xattr", "clone_children", "noprefix", "release_agent", "cpuset_v2_mode"}
    return ",".join(word for word in words if word.split("=")[0] not in generic)
