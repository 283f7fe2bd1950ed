"""The host's image: a verified root and its UKI, and a disk with both, in the cache by content.

`python -I -m dev host-image [--version V] [--force]` prints where it lies. Stages, each cached by
what goes in: the tools' tree and the system's base from locked packages, both container images
unpacked, and the finished image. images/host holds what they are made of; all scripts run in the
tools' tree (Debian 13), in a closed room, so that the machine's own tools do not matter.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import contract
import dev.images
from contract.errors import FailedError, MachineError, SheltieError, UsageError
from contract.values import SEMVER
from dev import hostcache, hostpackages, hosttools, hosttrees, recipe
from dev.hosttrees import HERE
from dev.site import CLONE, cache
from dev.steps import Steps
from dev.updatekey import UpdateKey
from dev.workshop import Report, Workshop, alone, need_programs, need_room, need_root
from host.image import layout

__all__ = ["NAME", "HostImage", "Keys", "build", "path", "sign"]

NAME = "sheltie"
ROOMS = ("contract", "host")
EPOCH = "1735689600"
"""The time that every file of an image carries: 2025-01-01, whatever the day it is built."""
ENVIRONMENT = {"SOURCE_DATE_EPOCH": EPOCH, "LC_ALL": "C.UTF-8"}
"""What the scripts that write files of an image see."""
ROOT_MAX = 350 << 20
"""Bytes of the verified root: its slot holds 512 MiB, and it has to stay small."""
ROOM_NEEDED = 3 << 30
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
    def loader(self) -> Path:
        """The boot loader."""
        return self.place / "loader"

    @property
    def disk(self) -> Path:
        """A whole disk, sparse: ESP, two slots, one of them filled."""
        return self.place / "disk"

    @property
    def about(self) -> dict[str, str]:
        """Name, version, root hash and what it was made of."""
        found: dict[str, str] = json.loads((self.place / "image.json").read_bytes())
        return found


def path(version: str, layouts: dict[str, Path], keyring: bytes) -> Path:
    """Return where the image of the clone's present content lies, or will. Raises OSError."""
    seen = hashlib.sha256()
    words = [version, EPOCH, *(layout_.name for layout_ in layouts.values())]
    words += [hashlib.sha256(keyring).hexdigest()]
    words += [hostpackages.key(hostpackages.read(part)) for part in ("tools", "root")]
    for tree in (HERE, *(CLONE / room for room in ROOMS)):
        for file in recipe.files(tree):
            content = str(file.readlink()).encode() if file.is_symlink() else file.read_bytes()
            words += [str(file.relative_to(CLONE)), hashlib.sha256(content).hexdigest()]
            words += [str(file.lstat().st_mode & 0o111)]
    seen.update(json.dumps(words).encode())
    return cache() / "host/images" / f"{NAME}-{seen.hexdigest()[:16]}"


def build(
    report: Report, *, version: str = "", keyring: bytes | None = None, force: bool = False
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
    wanted = path(version, layouts, ring)
    if not force and hostcache.take(wanted):
        return HostImage(wanted)
    with _alone(report) as place:
        if force or not hostcache.take(wanted):  # another one may have made it while we waited
            tools = hosttools.tree("tools", report)
            base = hosttrees.base(tools, report)
            trees = {name: hosttrees.container(where, report) for name, where in layouts.items()}
            _image(wanted, version, ring, tools, base, trees, layouts, report)
            hostcache.prune(place)
    return HostImage(wanted)


def sign(image: HostImage, keys: Keys, report: Report) -> HostImage:
    """Return the image with loader and UKI signed; the rest is the same. Raises SheltieError."""
    words = [image.place.name, hashlib.sha256(keys.certificate.read_bytes()).hexdigest()]
    key = hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]
    wanted = cache() / "host/images" / f"{NAME}-signed-{key}"
    if hostcache.take(wanted):
        return HostImage(wanted)
    with _alone(report) as place:
        tools, work = hosttools.tree("tools", report), place / ".sign-work"
        out, about = work / "out", image.about
        out.mkdir(parents=True)
        for file in (image.root, image.verity):
            (out / file.name).hardlink_to(file)
        for file in (image.uki, image.loader):
            shutil.copyfile(file, out / file.name)
        shutil.copytree(HERE, work / "host", symlinks=True)
        shutil.copyfile(keys.key, work / "key")
        shutil.copyfile(keys.certificate, work / "certificate")
        with Workshop.opened(place / "room", [cache(), CLONE]) as workshop:
            hosttools.enter(workshop, tools, work)
            report("signing loader and UKI")
            argv = ["/made/host/sign", "/made/out", "/made/key", "/made/certificate"]
            hosttools.run(workshop, tools, argv, what="the signatures")
            argv = ["/made/host/disk", NAME, about["version"], about["roothash"], "/made/out"]
            hosttools.run(workshop, tools, argv, ENVIRONMENT, what="the disk")
        _settle(out, wanted, about | {"signed": "True"})
        shutil.rmtree(work)
        hostcache.prune(place)
    return HostImage(wanted)


@contextmanager
def _alone(report: Report) -> Iterator[Path]:
    """Be the one who builds; give the cache's place, without what an interrupted build left."""
    need_root()
    need_programs("dpkg-deb", "umoci")
    place = cache() / "host"
    (place / "images").mkdir(parents=True, exist_ok=True)
    with alone(place / "lock", report):
        need_room(place, ROOM_NEEDED, ", or point XDG_CACHE_HOME to a larger disk")
        for left in place.glob(".*-work"):
            shutil.rmtree(left)
        yield place


def _image(
    wanted: Path,
    version: str,
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
    hosttrees.copy(base, root)
    shutil.copytree(HERE, work / "host", symlinks=True)
    for room in ROOMS:
        packages = root / "usr/lib/python3/dist-packages"
        ignored = shutil.ignore_patterns(*recipe.IGNORED)
        shutil.copytree(CLONE / room, packages / room, ignore=ignored)
    (root / KEYRING).write_bytes(keyring)
    images = root / "usr/share/sheltie/images"
    for name, unpacked in trees.items():
        _preload(layouts[name], unpacked, images, name)
    with Workshop.opened(cache() / "host/room", [cache(), CLONE]) as workshop:
        hosttools.enter(workshop, tools, work)
        report("finishing the tree")
        argv = ["/made/host/finish", "/made/root", NAME, version]
        hosttools.run(workshop, tools, argv, ENVIRONMENT, what="the tree")
        report("packing the root, the UKI and the disk")
        argv = ["/made/host/assemble", "/made/root", NAME, version, "/made/out"]
        hosttools.run(workshop, tools, argv, ENVIRONMENT, what="the image")
    size = (out / "root").stat().st_size
    if size > ROOT_MAX:
        raise FailedError(
            f"the root is {size >> 20} MiB large and {ROOT_MAX >> 20} are its bound",
            code="ROOT_TOO_LARGE",
        )
    about = {"name": NAME, "version": version, "roothash": (out / "roothash").read_text().strip()}
    about |= {"packages": hostpackages.key(hostpackages.read("root")), "signed": "False"}
    (out / "roothash").unlink()
    _settle(out, wanted, about)
    shutil.rmtree(work)


def _settle(out: Path, wanted: Path, about: dict[str, str]) -> None:
    """Give finished files their place, and their description."""
    (out / "image.json").write_text(json.dumps(about, indent=2) + "\n")
    hosttools.replace(out, wanted)


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
    hosttrees.copy(unpacked, images)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build and print where it lies; return the exit status."""
    parser = argparse.ArgumentParser(prog="make host-image", description="Build the host's image.")
    parser.add_argument("--version", default="", help=f"its version ({contract.__version__})")
    parser.add_argument("--force", action="store_true", help="make the image anew")
    parser.add_argument(
        "--sign", nargs=2, type=Path, metavar=("KEY", "CERTIFICATE"), help="for Secure Boot"
    )
    parser.add_argument("--home", type=Path, help="GNUPGHOME of the key that updates are signed by")
    options = parser.parse_args(arguments)
    os.umask(0o022)
    try:
        ring = UpdateKey(options.home.resolve()).keyring() if options.home else None
        with Steps(sys.stderr).step("the host's image") as note:
            built = build(note.update, version=options.version, keyring=ring, force=options.force)
            if options.sign:
                built = sign(built, Keys(*options.sign), note.update)
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
