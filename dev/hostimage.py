"""The host's image: a verified root and its UKI, and a disk with both, in the cache by content.

`python -I -m dev host-image [--version V] [--force]` prints where it lies. Stages, each cached by
what goes in: the tools' tree and the system's base from locked packages, both container images
unpacked, and the finished image. images/host holds what they are made of; all scripts run in the
tools' tree (Debian 13), in a closed room, so that the machine's own tools do not matter.
"""

import argparse
import asyncio
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import contract
import dev.images
from contract.errors import FailedError, MachineError, SheltieError, UsageError
from contract.values import SEMVER
from dev import hostpackages, hosttools, recipe
from dev.site import CLONE, PYTHON, cache
from dev.steps import Steps
from dev.updatekey import UpdateKey
from dev.workshop import Report, Workshop, alone, failure, need_programs, need_room, need_root
from host.image import layout
from host.image.unpacked import Trees

__all__ = ["NAME", "HostImage", "Keys", "build", "path"]

NAME = "sheltie"
HERE = CLONE / "images/host"
ROOMS = ("contract", "host")
EPOCH = "1735689600"
"""The time that every file of an image carries: 2025-01-01, whatever the day it is built."""
ROOT_MAX = 350 << 20
"""Bytes of the verified root: its slot holds 512 MiB, and it has to stay small."""
ROOM_NEEDED = 3 << 30
KEPT = 5
KEYRING = "usr/lib/systemd/import-pubring.gpg"


@dataclass(frozen=True, slots=True)
class Keys:
    """A private key (PEM) and its certificate, by which Secure Boot is to know the image."""

    key: Path
    certificate: Path


@dataclass(frozen=True, slots=True)
class HostImage:
    """The files of one image in `place`; sysupdate takes the first three, a new disk the last."""

    place: Path

    @property
    def root(self) -> Path:
        """The erofs of the root."""
        return self.place / "root"

    @property
    def verity(self) -> Path:
        """The root's hash tree."""
        return self.place / "verity"

    @property
    def uki(self) -> Path:
        """Kernel, initrd and command line in one."""
        return self.place / "uki"

    @property
    def disk(self) -> Path:
        """A whole disk, sparse: ESP, two slots, one of them filled."""
        return self.place / "disk"

    @property
    def about(self) -> dict[str, str]:
        """Name, version, root hash and what it was made of."""
        found: dict[str, str] = json.loads((self.place / "image.json").read_bytes())
        return found


def path(
    version: str, layouts: dict[str, Path], keys: Keys | None = None, keyring: bytes = b""
) -> Path:
    """Return where the image of the clone's present content lies, or will. Raises OSError."""
    seen = hashlib.sha256()
    words = [version, EPOCH, *(layout_.name for layout_ in layouts.values())]
    words += [hashlib.sha256(keyring).hexdigest()]
    words += [hostpackages.key(hostpackages.read(part)) for part in ("tools", "root")]
    if keys:
        words += [hashlib.sha256(keys.certificate.read_bytes()).hexdigest()]
    for tree in (HERE, *(CLONE / room for room in ROOMS)):
        for file in recipe.files(tree):
            content = str(file.readlink()).encode() if file.is_symlink() else file.read_bytes()
            words += [str(file.relative_to(CLONE)), hashlib.sha256(content).hexdigest()]
            words += [str(file.lstat().st_mode & 0o111)]
    seen.update(json.dumps(words).encode())
    return cache() / "host/images" / f"{NAME}-{seen.hexdigest()[:16]}"


def build(
    report: Report,
    *,
    version: str = "",
    keys: Keys | None = None,
    keyring: bytes | None = None,
    force: bool = False,
) -> HostImage:
    """Build the image unless it is there. Raises MachineError, FailedError, UsageError.

    It trusts updates that a key of `keyring` signed; without one, this machine's own key.
    """
    version = version or contract.__version__
    if not SEMVER.fullmatch(version):
        raise UsageError(f"{version!r} is no semantic version", hint="1.2.3", code="NO_VERSION")
    if platform.machine() != "x86_64":
        raise MachineError(
            f"the host image is for x86_64, this machine is {platform.machine()}",
            hint="build it there",
            code="ARCHITECTURE",
        )
    layouts = dev.images.build(dev.images.NAMES, report)
    ring = UpdateKey.own().keyring() if keyring is None else keyring
    wanted = path(version, layouts, keys, ring)
    if wanted.exists() and not force:
        return HostImage(wanted)
    need_root()
    need_programs("dpkg-deb", "umoci")
    place = cache() / "host"
    (place / "images").mkdir(parents=True, exist_ok=True)
    with alone(place / "lock", report):
        if wanted.exists() and not force:  # another one may have made it while we waited
            return HostImage(wanted)
        need_room(place, ROOM_NEEDED, ", or point XDG_CACHE_HOME to a larger disk")
        for left in (*place.glob(".*-work"), *place.glob("images/.partial-*")):
            shutil.rmtree(left)
        tools = hosttools.tree("tools", report)
        base = _base(tools, report)
        trees = {name: _container(where, report) for name, where in layouts.items()}
        _image(wanted, version, keys, ring, tools, base, trees, layouts, report)
        dev.images.prune(place / "images", KEPT)
    return HostImage(wanted)


def _base(tools: Path, report: Report) -> Path:
    """Return the system's tree without anything of ours: packages and Python's dependencies."""
    packages, requirements = hostpackages.read("root"), HERE / "requirements.txt"
    inputs = [tools.name, hostpackages.key(packages)]
    inputs += [
        hashlib.sha256(one.read_bytes()).hexdigest() for one in (requirements, HERE / "base")
    ]
    name = hashlib.sha256("\n".join(inputs).encode()).hexdigest()[:16]
    tree = cache() / "host" / f"base-{name}"
    if tree.exists():
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
        hosttools.run(workshop, tools, ["/work/base", "/work/root"], what="the base")
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


def _container(where: Path, report: Report) -> Path:
    """Return a directory with an image unpacked as the daemon would, below its digest."""
    trees = cache() / "host" / f"tree-{where.name}"
    if trees.exists():
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


def _image(
    wanted: Path,
    version: str,
    keys: Keys | None,
    keyring: bytes,
    tools: Path,
    base: Path,
    trees: dict[str, Path],
    layouts: dict[str, Path],
    report: Report,
) -> None:
    work = cache() / "host/.image-work"
    root, out = work / "root", work / "out"
    report("gathering the tree")
    out.mkdir(parents=True)
    _copy(base, root)
    shutil.copytree(HERE, work / "host", symlinks=True)
    for room in ROOMS:
        packages = root / "usr/lib/python3/dist-packages"
        ignored = shutil.ignore_patterns(*recipe.IGNORED)
        shutil.copytree(CLONE / room, packages / room, ignore=ignored)
    (root / KEYRING).write_bytes(keyring)
    images = root / "usr/share/sheltie/images"
    for name, unpacked in trees.items():
        _preload(layouts[name], unpacked, images, name)
    environment = {"SOURCE_DATE_EPOCH": EPOCH, "LC_ALL": "C.UTF-8"}
    if keys:
        for name, file in (("key", keys.key), ("certificate", keys.certificate)):
            shutil.copy2(file, work / name)
            environment[name.upper()] = f"/work/{name}"
    with Workshop.opened(cache() / "host/room", [cache(), CLONE]) as workshop:
        hosttools.enter(workshop, tools, work)
        report("finishing the tree")
        argv = ["/work/host/finish", "/work/root", NAME, version]
        hosttools.run(workshop, tools, argv, environment, what="the tree")
        report("packing the root, the UKI and the disk")
        argv = ["/work/host/assemble", "/work/root", NAME, version, "/work/out"]
        hosttools.run(workshop, tools, argv, environment, what="the image")
    size = (out / "root").stat().st_size
    if size > ROOT_MAX:
        raise FailedError(
            f"the root is {size >> 20} MiB large and {ROOT_MAX >> 20} are its bound",
            code="ROOT_TOO_LARGE",
        )
    about = {"name": NAME, "version": version, "roothash": (out / "roothash").read_text().strip()}
    about |= {"packages": hostpackages.key(hostpackages.read("root")), "signed": str(bool(keys))}
    (out / "image.json").write_text(json.dumps(about, indent=2) + "\n")
    (out / "roothash").unlink()
    hosttools.replace(out, wanted)
    shutil.rmtree(work)


def _preload(where: Path, unpacked: Path, images: Path, name: str) -> None:
    """Lay an image's documents out as a layout, and its tree where the daemon finds it.

    The blobs of its layers stay away: what they hold is in the tree.
    """
    found = layout.resolve(where, "latest", platform.machine())
    manifest = layout.decode_manifest(layout.blob(where, found), where)
    blobs = images / name / "blobs/sha256"
    blobs.mkdir(parents=True)
    for document in ("index.json", "oci-layout"):
        shutil.copy(where / document, images / name / document)
    for digest in (found.digest, manifest.config.digest):
        plain = digest.removeprefix("sha256:")
        shutil.copy(where / "blobs/sha256" / plain, blobs / plain)
    _copy(unpacked, images)


def _copy(source: Path, target: Path) -> None:
    """Copy a tree with all that a file carries, into one that may be there. Raises FailedError."""
    target.mkdir(parents=True, exist_ok=True)
    argv = ["cp", "-a", "--reflink=auto", f"{source}/.", str(target)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise failure(f"copying {source.name}", done.stderr.splitlines())


def main(arguments: Sequence[str] | None = None) -> int:
    """Build and print where it lies; return the exit status."""
    parser = argparse.ArgumentParser(prog="make host-image", description="Build the host's image.")
    parser.add_argument("--version", default="", help=f"its version ({contract.__version__})")
    parser.add_argument("--force", action="store_true", help="make the image anew")
    parser.add_argument("--sign", nargs=2, type=Path, metavar=("KEY", "CERTIFICATE"))
    options = parser.parse_args(arguments)
    os.umask(0o022)
    try:
        keys = Keys(*(file.resolve() for file in options.sign)) if options.sign else None
        with Steps(sys.stderr).step("the host's image") as note:
            built = build(note.update, version=options.version, keys=keys, force=options.force)
            about = built.about
            note.text = f"{about['version']}, root {built.root.stat().st_size / 1e6:.0f} MB"
    except SheltieError as error:
        print(f"make host-image: {error.line()}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("make host-image: interrupted; nothing is left half done", file=sys.stderr)
        return 130
    print(f"root hash {about['roothash']}")
    for file in (built.root, built.verity, built.uki, built.disk):
        print(f"{file.stat().st_size / 1e6:8.1f} MB  {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
