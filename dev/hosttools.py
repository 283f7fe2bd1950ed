"""The tools' tree: a Debian 13 of locked packages in which the host's image is made and looked at.

It is unpacked once and nothing more; programs run in it by chroot, in a closed room, and cannot
write to it: what a tool leaves behind, bytecode for one, would change what later ones do.
"""

import hashlib
import shutil
from pathlib import Path

from dev import hostcache, hostpackages
from dev.site import cache
from dev.workshop import Report, Workshop

__all__ = ["enter", "replace", "run", "tree", "unpack"]

ENTER = """
set -e
mkdir -p "$1/dev" "$1/proc" "$1/made" "$1/tmp" "$1/run" "$1/mnt"
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
mount -t tmpfs tmp "$1/tmp"
mount -t tmpfs run "$1/run"
mount --bind "$2" "$1/made"
"""


def tree(section: str, report: Report) -> Path:
    """Return a tree of a section's packages, unpacked and nothing more."""
    packages = hostpackages.read(section)
    key = hashlib.sha256(f"{hostpackages.key(packages)}{ENTER}".encode()).hexdigest()[:16]
    place = cache() / "host" / f"{section}-{key}"
    if not hostcache.take(place):
        work = cache() / "host" / f".{section}-work"
        unpack(packages, work, report)
        replace(work, place)
    return place


def unpack(packages: list[hostpackages.Package], place: Path, report: Report) -> None:
    """Fetch packages and unpack them into a directory. Raises SheltieError."""
    files = hostpackages.fetch(packages, report)
    report(f"unpacking {len(files)} packages")
    # base-files has the links by which /bin is /usr/bin: what comes later follows them.
    pairs = sorted(zip(packages, files, strict=True), key=lambda pair: pair[0].name != "base-files")
    hostpackages.unpack([file for _, file in pairs], place)


def enter(workshop: Workshop, tools: Path, work: Path) -> None:
    """Make the tools' tree a place to work in, for as long as the room lasts."""
    workshop.run(["sh", "-c", ENTER, "sh", str(tools), str(work)], what="entering the tools' tree")


def run(
    workshop: Workshop,
    tools: Path,
    argv: list[str],
    environment: dict[str, str] | None = None,
    *,
    what: str,
) -> list[str]:
    """Run a program in the tree; `environment` is all that it sees besides PATH and HOME.

    Returns the last lines of what it printed.
    """
    settings = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/run", **(environment or {})}
    words = [f"{key}={value}" for key, value in settings.items()]
    return workshop.run(["chroot", str(tools), "/usr/bin/env", "-i", *words, *argv], what=what)


def replace(made: Path, target: Path) -> None:
    """Put a tree that was made in the place of another."""
    if target.exists():
        shutil.rmtree(target)
    made.rename(target)
