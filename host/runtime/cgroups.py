"""Cgroups of ours in every hierarchy of the host, version 1, 2 or both (cgroups(7)).

The runtimes make a container's own ones; here they are found, thawed and removed, and conmon is
moved out of the daemon's, so that whoever kills that one leaves the containers alone.
"""

import asyncio
import contextlib
import hashlib
import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from contract import places
from host.runtime.limits import CONTROLLERS

__all__ = ["Cgroups", "controllers", "mount_points"]

REMOVE_SECONDS: Final = 5.0
_STEP_SECONDS: Final = 0.005


@dataclass(frozen=True, slots=True)
class Cgroups:
    """The cgroups of one daemon: everything lies below `/PARENT` in each of `tops`.

    `killing` are those of the hierarchies by which services are ended: version 2 and systemd's.
    `controllers` are those of CONTROLLERS by which containers can be limited.
    """

    parent: str
    tops: tuple[Path, ...]
    killing: tuple[Path, ...]
    controllers: frozenset[str] = frozenset()

    @classmethod
    def of(cls, state: Path, mountinfo: str) -> "Cgroups":
        """Return the cgroups of the daemon with directory `state`; two daemons never meet."""
        parent = "sheltie"
        if str(state) != places.STATE:
            parent += f"-{hashlib.sha256(os.fsencode(state)).hexdigest()[:8]}"
        points = mount_points(mountinfo)
        killing = [point for point, kind in points if kind in {"cgroup2", "name=systemd"}]
        tops = tuple(point for point, _ in points)
        return cls(parent, tops, tuple(killing), controllers(mountinfo))

    def delegated(self) -> "Cgroups":
        """Let version 2 limit what lies below its root, and return the cgroups with what it can.

        A root that is no real one and holds processes itself refuses (cgroups(7), "no internal
        processes"): what it would limit is then left out.
        """
        found = set(self.controllers)
        for top in self.tops:
            offered = _words(top / "cgroup.controllers") & set(CONTROLLERS)
            for name in offered - _words(top / "cgroup.subtree_control"):
                with contextlib.suppress(OSError):
                    (top / "cgroup.subtree_control").write_text(f"+{name}")
            found |= offered & _words(top / "cgroup.subtree_control")
        return replace(self, controllers=frozenset(found))

    def places(self, name: str) -> list[Path]:
        """Return the directory of container `name` in each hierarchy, as far as it is there."""
        return [place for top in self.tops if (place := top / self.parent / name).is_dir()]

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
        for directory in self.below(name):
            for file, word in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
                if (directory / file).exists():
                    (directory / file).write_text(word)

    def kill(self, name: str) -> None:
        """Kill whatever is left of container `name` and of its conmon."""
        for directory in (*self.below(name), *self.below(f"{name}.conmon")):
            for pid in _words(directory / "cgroup.procs") - {"0"}:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)

    async def remove(self, name: str) -> None:
        """Remove what is left of container `name`, and the parent with the last container.

        Raises OSError when something in it does not end.
        """
        deadline = asyncio.get_running_loop().time() + REMOVE_SECONDS
        for directory in [*reversed(self.below(f"{name}.conmon")), *reversed(self.below(name))]:
            while not _removed(directory):
                # The last process may still be on its way out.
                if asyncio.get_running_loop().time() > deadline:
                    raise TimeoutError(f"cgroup {directory} stays busy")
                await asyncio.sleep(_STEP_SECONDS)
        for top in self.tops:
            _removed(top / self.parent)

    def below(self, name: str) -> list[Path]:
        """Return the directories of container `name` and all below, parents before children."""
        return [Path(place) for root in self.places(name) for place, _, _ in os.walk(root)]


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


def controllers(mountinfo: str) -> frozenset[str]:
    """Return which of CONTROLLERS version 1 offers: they stand among a mount's options."""
    found: set[str] = set()
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split()[:3]
        if kind == "cgroup" and fields.split()[3] == "/":
            found.update(options.split(","))
    return frozenset(found & set(CONTROLLERS))


def _words(file: Path) -> set[str]:
    try:
        return set(file.read_text(encoding="ascii").split())
    except OSError:
        return set()


def _removed(directory: Path) -> bool:
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
