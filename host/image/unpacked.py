"""Unpacked images: each manifest once below STATE/images/DIGEST, whole or not at all.

umoci unpacks and checks the layers' digests; skopeo opens archives.
"""

import asyncio
import json
import os
import secrets
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from contract.durable import ensure_directory, read_file, sync_directory
from contract.errors import FailedError, NotFoundError
from host.image import layout, reference
from host.image.layout import Descriptor
from host.runtime import kernel, programs
from host.runtime.shape import ImageProcess

__all__ = ["Image", "Images"]

_SCRATCH: Final = ".unpacking-"
_TAG: Final = "image"
_CONFIG_MAX: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Image:
    """An unpacked image: its manifest's digest, its tree, and the process that it asks for."""

    digest: str
    rootfs: Path
    process: ImageProcess


class Images:
    """The images below `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._busy: dict[str, asyncio.Lock] = {}

    def sweep(self) -> None:
        """Remove what an interrupted daemon was unpacking. Raises MachineError."""
        ensure_directory(self._directory)
        for left in self._directory.glob(f"{_SCRATCH}*"):
            shutil.rmtree(left, ignore_errors=True)

    async def get(self, source: str | None) -> Image:
        """Return the image of `source`, unpacked.

        Raises UsageError (SOURCE_UNUSABLE), NotFoundError (IMAGE_NOT_FOUND), FailedError
        (IMAGE_BROKEN), MachineError.
        """
        wanted = reference.parse(source)
        descriptor = await asyncio.to_thread(_resolve, wanted)
        home = self._directory / descriptor.digest.replace(":", "-")
        async with self._busy.setdefault(descriptor.digest, asyncio.Lock()):
            if not home.is_dir():
                await self._unpack(wanted, descriptor, home)
        return _load(descriptor.digest, home)

    async def _unpack(
        self, wanted: reference.Reference, descriptor: Descriptor, home: Path
    ) -> None:
        ensure_directory(self._directory)
        scratch = self._directory / f"{_SCRATCH}{secrets.token_hex(6)}"
        try:
            scratch.mkdir(0o700)
            source = wanted.path
            if wanted.kind == "oci-archive":
                source = await _open_archive(wanted, scratch)
            _pin(source, descriptor, scratch)
            await _umoci(wanted, scratch, "unpack", "rootfs")
            await _umoci(wanted, scratch, "runtime-config", "--rootfs", "rootfs", "config.json")
            await asyncio.to_thread(_settle, scratch, home)
        except OSError as error:
            raise FailedError(f"cannot unpack {wanted}: {error}", code="IMAGE_BROKEN") from error
        finally:
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)


def _resolve(wanted: reference.Reference) -> Descriptor:
    machine = os.uname().machine
    if wanted.kind == "oci":
        return layout.resolve(wanted.path, wanted.tag, machine)
    try:
        with tarfile.open(wanted.path, "r:") as archive:
            index = layout.decode_index(_member(archive, "index.json"), wanted.path)

            def read(one: Descriptor) -> bytes:
                return _member(archive, f"blobs/sha256/{one.digest.removeprefix('sha256:')}")

            return layout.index_of(index, wanted.path, wanted.tag, machine, read)
    except FileNotFoundError as error:
        raise NotFoundError(f"no image is at {wanted.path}", code="IMAGE_NOT_FOUND") from error
    except (OSError, tarfile.TarError, KeyError) as error:
        raise FailedError(
            f"{wanted.path} is no OCI archive: {error}", code="IMAGE_BROKEN"
        ) from error


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read(layout.DOCUMENT_MAX)


async def _open_archive(wanted: reference.Reference, scratch: Path) -> Path:
    """Let skopeo turn an archive into a layout and return that."""
    argv = [
        programs.find("skopeo"),
        # It minds no TMPDIR, and /var/tmp may be read-only.
        *("--insecure-policy", "--tmpdir", str(scratch)),
        *("copy", "--quiet", "--all", str(wanted), f"oci:{scratch}/opened"),
    ]
    done = await programs.run(argv, cwd=scratch)
    if done.status:
        why = programs.last_line(done.err)
        raise FailedError(f"cannot open {wanted}: {why}", code="IMAGE_BROKEN")
    return scratch / "opened"


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


async def _umoci(wanted: reference.Reference, scratch: Path, verb: str, *arguments: str) -> None:
    argv = [programs.find("umoci"), "raw", verb, "--image", f"pinned:{_TAG}", *arguments]
    done = await programs.run(argv, cwd=scratch)
    if done.status:
        why = programs.last_line(done.err)
        raise FailedError(f"cannot unpack {wanted}: {why}", code="IMAGE_BROKEN")


def _settle(scratch: Path, home: Path) -> None:
    """Give the finished tree its name, after all of it has reached the disk."""
    shutil.rmtree(scratch / "pinned")
    shutil.rmtree(scratch / "opened", ignore_errors=True)
    descriptor = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        kernel.sync_file_system(descriptor)
    finally:
        os.close(descriptor)
    scratch.rename(home)
    sync_directory(home.parent)


def _load(digest: str, home: Path) -> Image:
    try:
        process = json.loads(read_file(home / "config.json", _CONFIG_MAX))["process"]
        wanted = ImageProcess(
            tuple(process["args"]), tuple(process["env"]), process["cwd"], process["user"]
        )
    except (OSError, ValueError, KeyError) as error:
        raise FailedError(
            f"the unpacked image {home} is damaged: {error}",
            hint="remove that directory; it is unpacked anew",
            code="IMAGE_BROKEN",
        ) from error
    return Image(digest, home / "rootfs", wanted)
