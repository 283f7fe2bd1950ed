"""What a host's image is put together from: the system's tree, and both container images unpacked.

Each is a stage of its own in the cache, by what goes in. Whoever calls holds the cache's lock.
"""

import asyncio
import hashlib
import platform
import shutil
import subprocess
from pathlib import Path

from dev import hostcache, hostpackages, hosttools
from dev.site import CLONE, PYTHON, cache
from dev.workshop import Report, Workshop, failure
from host.image import layout
from host.image.unpacked import Trees

__all__ = ["HERE", "base", "container", "copy"]

HERE = CLONE / "images/host"


def base(tools: Path, report: Report) -> Path:
    """Return the system's tree without anything of ours: packages and Python's dependencies."""
    packages, requirements = hostpackages.read("root"), HERE / "requirements.txt"
    inputs = [tools.name, hostpackages.key(packages)]
    inputs += [
        hashlib.sha256(one.read_bytes()).hexdigest() for one in (requirements, HERE / "base")
    ]
    name = hashlib.sha256("\n".join(inputs).encode()).hexdigest()[:16]
    tree = cache() / "host" / f"base-{name}"
    if hostcache.take(tree):
        return tree
    work = cache() / "host" / ".base-work"
    work.mkdir()
    hosttools.unpack(packages, work / "root", report)
    report("installing Python's dependencies")
    _pip(requirements, work / "root/usr/lib/python3/dist-packages")
    shutil.copy2(HERE / "base", work / "base")
    with Workshop.opened(cache() / "host/room", [cache(), CLONE]) as workshop:
        hosttools.enter(workshop, tools, work)
        report("making the base")
        hosttools.run(workshop, tools, ["/made/base", "/made/root"], what="the base")
    hosttools.replace(work / "root", tree)
    shutil.rmtree(work)
    return tree


def _pip(requirements: Path, target: Path) -> None:
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-compile", "--no-deps"]
    options += ["--python-version", "3.13", "--implementation", "cp", "--only-binary", ":all:"]
    options += ["--platform", "manylinux_2_28_x86_64", "--platform", "manylinux2014_x86_64"]
    options += ["--require-hashes", "-r", str(requirements), "--target", str(target)]
    options += ["--cache-dir", str(cache() / "pip"), "--root-user-action", "ignore"]
    argv = [PYTHON, "-I", "-m", "pip", "install", *options]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise failure("pip install", done.stderr.splitlines())
    shutil.rmtree(target / "bin", ignore_errors=True)


def container(where: Path, report: Report) -> Path:
    """Return a directory with an image unpacked as the daemon would, below its digest."""
    trees = cache() / "host" / f"tree-{where.name}"
    if hostcache.take(trees):
        return trees
    report(f"unpacking {where.name}")
    work = cache() / "host/.tree-work"
    found = layout.resolve(where, "latest", platform.machine())

    async def unpack() -> None:
        unpacked = Trees(work)
        async with unpacked.scratch(where) as scratch:
            await unpacked.unpack(where, found.digest, where, found, scratch)

    asyncio.run(unpack())
    hosttools.replace(work, trees)
    return trees


def copy(source: Path, target: Path) -> None:
    """Copy a tree with all that a file carries, into one that may be there. Raises FailedError."""
    target.mkdir(parents=True, exist_ok=True)
    argv = ["cp", "-a", "--reflink=auto", f"{source}/.", str(target)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise failure(f"copying {source.name}", done.stderr.splitlines())
