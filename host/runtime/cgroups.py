"""Cgroups of ours in every hierarchy of the host, version 1, 2 or both (cgroups(7)).

The runtimes make a container's own ones; here they are found, thawed and removed, and conmon is
moved out of the daemon's, so that whoever kills that one leaves the containers alone.
"""

import asyncio
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contract import places

__all__ = ["Cgroups", "mount_points"]

REMOVE_SECONDS: Final = 5.0
_STEP_SECONDS: Final = 0.005


@dataclass(frozen=True, slots=True)
class Cgroups:
    """The cgroups of one daemon: everything lies below `/PARENT` in each of `tops`.

    `killing` are those of the hierarchies by which services are ended: version 2 and systemd's.
    """

    parent: str
    tops: tuple[Path, ...]
    killing: tuple[Path, ...]

    @classmethod
    def of(cls, state: Path, mountinfo: str) -> "Cgroups":
        """Return the cgroups of the daemon with directory `state`; two daemons never meet."""
        parent = "sheltie"
        if str(state) != places.STATE:
            parent += f"-{hashlib.sha256(os.fsencode(state)).hexdigest()[:8]}"
        points = mount_points(mountinfo)
        killing = [point for point, kind in points if kind in {"cgroup2", "name=systemd"}]
        return cls(parent, tuple(point for point, _ in points), tuple(killing))

    def path(self, name: str) -> str:
        """Return the OCI `cgroupsPath` of container `name`."""
        return f"/{self.parent}/{name}"

    def shelter(self, name: str, pid: int) -> None:
        """Move process `pid`, conmon of container `name`, into a cgroup of its own."""
        for top in self.killing:
            place = top / self.parent / f"{name}.conmon"
            place.mkdir(parents=True, exist_ok=True)
            (place / "cgroup.procs").write_text(str(pid))

    def thaw(self, name: str) -> None:
        """Let what is frozen run: under version 1 it could not even be killed."""
        for directory in self._below(name):
            for file, word in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
                if (directory / file).exists():
                    (directory / file).write_text(word)

    async def remove(self, name: str) -> None:
        """Remove what is left of container `name`, and the parent with the last container.

        Raises OSError when something in it does not end.
        """
        deadline = asyncio.get_running_loop().time() + REMOVE_SECONDS
        for directory in [*reversed(self._below(f"{name}.conmon")), *reversed(self._below(name))]:
            while not _removed(directory):
                # The last process may still be on its way out.
                if asyncio.get_running_loop().time() > deadline:
                    raise TimeoutError(f"cgroup {directory} stays busy")
                await asyncio.sleep(_STEP_SECONDS)
        for top in self.tops:
            _removed(top / self.parent)

    def _below(self, name: str) -> list[Path]:
        roots = [top / self.parent / name for top in self.tops]
        return [Path(place) for root in roots if root.is_dir() for place, _, _ in os.walk(root)]


def mount_points(mountinfo: str) -> list[tuple[Path, str]]:
    """Return the mounted hierarchies of a mountinfo text with their kind, each once.

    The kind is `cgroup2`, or the last word of a version 1 mount's options.
    """
    found: dict[str, tuple[Path, str]] = {}
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        root, point = fields.split()[3:5]
        kind, _, options = rest.split()[:3]
        if kind in {"cgroup", "cgroup2"} and root == "/":
            name = kind if kind == "cgroup2" else options.rpartition(",")[2]
            found.setdefault(name, (Path(point), name))
    return list(found.values())


def _removed(directory: Path) -> bool:
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
