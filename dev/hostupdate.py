"""`make host-update`: an update of the host's image as servers offer it, signed.

`python -I -m dev host-update --version V --out DIRECTORY [--home GNUPGHOME] [--sign KEY CRT]` adds
the three files of a version to a directory, and makes its manifest anew (docs/updates.md). The key
is the one of GNUPGHOME; without that, one that was made for this machine and is kept in the cache.
"""

import argparse
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from contract.errors import SheltieError, UsageError
from dev import hostimage
from dev.hostimage import HostImage, Keys
from dev.steps import Steps
from dev.updatekey import UpdateKey
from host.update.manifest import ARCHITECTURES
from host.update.names import VERSION
from host.update.places import SUMS

__all__ = ["main", "publish"]

VARIANT = "sheltie-host"


def publish(image: HostImage, place: Path, key: UpdateKey) -> None:
    """Add an image to a directory that a server offers. Raises UsageError, FailedError."""
    version, hash_ = image.about["version"], image.about["roothash"]
    if not VERSION.fullmatch(version):
        raise UsageError(
            f"version {version} is not three numbers: the loader would order it otherwise",
            code="NO_VERSION",
        )
    base = f"{VARIANT}_{ARCHITECTURES[platform.machine()]}_{version}"
    place.mkdir(parents=True, exist_ok=True)
    for old in place.glob(f"{base}*"):
        old.unlink()
    for source, name in (
        (image.root, f"{base}_{_uuid(hash_[:32])}.root"),
        (image.verity, f"{base}_{_uuid(hash_[32:])}.verity"),
        (image.uki, f"{base}.efi"),
    ):
        shutil.copyfile(source, place / name)
    key.sign(place)


def _uuid(text: str) -> str:
    """Return a half of a root hash as the UUID of its partition."""
    cuts = (text[:8], text[8:12], text[12:16], text[16:20], text[20:32])
    return "-".join(cuts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, add and sign; return the exit status."""
    parser = argparse.ArgumentParser(prog="make host-update", description="Make a signed update.")
    parser.add_argument("--version", default="", help="the image's version")
    parser.add_argument("--out", type=Path, required=True, help="what a server offers")
    parser.add_argument("--home", type=Path, help="GNUPGHOME of the key that images trust")
    parser.add_argument("--sign", nargs=2, type=Path, metavar=("KEY", "CERTIFICATE"))
    options = parser.parse_args(arguments)
    os.umask(0o022)
    try:
        key = UpdateKey(options.home.resolve()) if options.home else UpdateKey.own()
        with Steps(sys.stderr).step("the host's image") as note:
            image = hostimage.build(note.update, version=options.version, keyring=key.keyring())
            if options.sign:
                image = hostimage.sign(image, Keys(*options.sign), note.update)
            note.text = image.about["version"]
        publish(image, options.out, key)
    except SheltieError as error:
        print(f"make host-update: {error.line()}", file=sys.stderr)
        return error.exit_status
    print(options.out / SUMS)
    return 0
