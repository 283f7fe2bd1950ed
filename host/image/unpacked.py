"""Unpacked images: each once below STATE/images/DIGEST, whole or not at all.

umoci unpacks and checks the layers' digests.
"""

import asyncio
import errno
import json
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from contract.durable import ensure_directory, read_file, sync_directory, write_file
from contract.errors import FailedError, SheltieError
from host.image import failure, layout, orphans
from host.image.layout import Descriptor
from host.image.name import DIGEST
from host.image.seam import Image
from host.runtime import kernel, programs
from host.runtime.shape import ImageProcess

__all__ = ["Trees"]

_SCRATCH: Final = ".unpacking-"
_TAG: Final = "image"
_CONFIG_MAX: Final = 1 << 20
_VERSION: Final = 1
PRELOADED: Final = Path("/usr/share/sheltie/images")
"""Where the host's own image keeps what it brings, in the same form."""


class Facts(msgspec.Struct, frozen=True):
    """What lies beside a tree: the blobs that it was made of."""

    blobs: list[str]
    version: int = _VERSION


class Run(msgspec.Struct, frozen=True, rename="pascal"):
    """What an image's configuration says about its process, as far as umoci blurs it."""

    entrypoint: list[str] | None = None
    cmd: list[str] | None = None


class Config(msgspec.Struct, frozen=True):
    """An image's configuration."""

    config: Run | None = None


class Trees:
    """The images below `directory`, and those that the host's own image brings in `preloaded`.

    The latter need no unpacking and no room, and nothing ever removes them.
    """

    def __init__(self, directory: Path, preloaded: Path = PRELOADED) -> None:
        self._directory = directory
        self._preloaded = preloaded

    def sweep(self) -> None:
        """Remove what an interrupted daemon was unpacking. Raises MachineError."""
        ensure_directory(self._directory)
        for left in self._directory.glob(f"{_SCRATCH}*"):
            orphans.end(left.resolve())
            shutil.rmtree(left, ignore_errors=True)

    def names(self) -> set[str]:
        """Return the digests of the images that were unpacked here."""
        if not self._directory.is_dir():
            return set()
        digests = {path.name.replace("-", ":", 1) for path in self._directory.iterdir()}
        return {digest for digest in digests if DIGEST.fullmatch(digest)}

    def has(self, digest: str) -> bool:
        """Whether an image is there."""
        return self._home(digest).is_dir()

    def mounted(self, mountinfo: str) -> set[str]:
        """Return the images that are part of a mount, whoever made it (proc_pid_mountinfo(5))."""
        return {digest for digest in self.names() if self._home(digest).name in mountinfo}

    def blobs(self) -> set[str]:
        """Return the blobs of all images."""
        found: set[str] = set()
        for digest in self.names():
            try:
                data = read_file(self._home(digest) / "image.json", _CONFIG_MAX)
                found.update(msgspec.json.decode(data, type=Facts).blobs)
            except (OSError, SheltieError, msgspec.DecodeError):
                continue  # it may be unpacked, but not made anew without its source
        return found

    def load(self, digest: str) -> Image:
        """Return an image that is there. Raises FailedError (IMAGE_BROKEN)."""
        home = self._home(digest)
        try:
            process = json.loads(read_file(home / "config.json", _CONFIG_MAX))["process"]
            wanted = ImageProcess(
                tuple(process["args"]), tuple(process["env"]), process["cwd"], process["user"]
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FailedError(
                f"the unpacked image {home} is damaged: {error}",
                hint="remove that directory; it is unpacked anew",
                code="IMAGE_BROKEN",
            ) from error
        return Image(digest, home / "rootfs", wanted)

    @asynccontextmanager
    async def scratch(self, what: object) -> AsyncIterator[Path]:
        """Have a directory in which `what` is made; nothing of it stays.

        An OSError in there becomes MachineError (DISK_FULL) or FailedError (IMAGE_BROKEN).
        """
        ensure_directory(self._directory)
        place = self._directory / f"{_SCRATCH}{secrets.token_hex(6)}"
        try:
            place.mkdir(0o700)
            yield place
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise failure.full(what) from error
            raise FailedError(f"cannot unpack {what}: {error}", code="IMAGE_BROKEN") from error
        finally:
            await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)

    async def unpack(
        self, what: object, digest: str, source: Path, descriptor: Descriptor, scratch: Path
    ) -> None:
        """Unpack a manifest of the layout `source` as image `digest`, by way of `scratch`.

        Raises FailedError (IMAGE_BROKEN), MachineError (DISK_FULL), OSError.
        """
        manifest = layout.decode_manifest(layout.blob(source, descriptor), what)
        config = _config(layout.blob(source, manifest.config), what)
        tree = scratch / "tree"
        tree.mkdir(0o700)
        _pin(source, descriptor, scratch)
        await _umoci(what, scratch, "unpack", "tree/rootfs")
        runtime = ("--rootfs", "tree/rootfs", "tree/config.json")
        await _umoci(what, scratch, "runtime-config", *runtime)
        blobs = [descriptor.digest, *(one.digest for one in manifest.blobs)]
        await asyncio.to_thread(self._settle, tree, digest, config, Facts(blobs))

    async def remove(self, digests: Collection[str]) -> None:
        """Remove images, each at once. Raises OSError."""
        doomed = []
        for digest in digests:
            place = self._directory / f"{_SCRATCH}{secrets.token_hex(6)}"
            self._unpacked(digest).rename(place)
            doomed.append(place)
        for place in doomed:
            await asyncio.to_thread(shutil.rmtree, place)

    def _home(self, digest: str) -> Path:
        preloaded = self._preloaded / digest.replace(":", "-")
        return preloaded if preloaded.is_dir() else self._unpacked(digest)

    def _unpacked(self, digest: str) -> Path:
        return self._directory / digest.replace(":", "-")

    def _settle(self, tree: Path, digest: str, config: Run, facts: Facts) -> None:
        """Give the finished tree its name, after all of it has reached the disk."""
        if not config.entrypoint and not config.cmd:
            _without_program(tree / "config.json")
        write_file(tree / "image.json", msgspec.json.encode(facts))
        descriptor = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            kernel.sync_file_system(descriptor)
        finally:
            os.close(descriptor)
        tree.rename(self._unpacked(digest))
        sync_directory(self._directory)


def _config(data: bytes, what: object) -> Run:
    try:
        return msgspec.json.decode(data, type=Config).config or Run()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FailedError(f"{what}: broken configuration: {error}", code="IMAGE_BROKEN") from error


def _without_program(path: Path) -> None:
    """Take out the shell that umoci puts in where the image names no program."""
    document = json.loads(path.read_bytes())
    document["process"]["args"] = []
    path.write_text(json.dumps(document))


def _pin(source: Path, descriptor: Descriptor, scratch: Path) -> None:
    """Make a layout of this one manifest over the blobs of `source`.

    Whatever happens to the tag meanwhile, what is unpacked is what was resolved.
    """
    pinned = scratch / "pinned"
    pinned.mkdir()
    (pinned / "blobs").symlink_to(source / "blobs")
    (pinned / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    entry: dict[str, Any] = msgspec.to_builtins(descriptor)
    entry["annotations"] = {layout.REF_NAME: _TAG}
    document = {"schemaVersion": 2, "manifests": [entry]}
    (pinned / "index.json").write_bytes(msgspec.json.encode(document))


async def _umoci(what: object, scratch: Path, verb: str, *arguments: str) -> None:
    argv = [programs.find("umoci"), "raw", verb, "--image", f"pinned:{_TAG}", *arguments]
    done = await programs.run(argv, cwd=scratch)
    if done.status:
        raise failure.of_archive(what, "unpack", done)
