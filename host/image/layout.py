"""Reading OCI indexes and manifests: from a tag to the digest of one manifest, each step checked.

OCI image specification: image-layout.md, image-index.md, descriptor.md.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from contract.durable import read_file
from contract.errors import FailedError, NotFoundError, SheltieError
from host.image.name import DIGEST

__all__ = [
    "DOCUMENT_MAX",
    "INDEX_TYPES",
    "REF_NAME",
    "Descriptor",
    "Index",
    "Manifest",
    "blob",
    "choose",
    "decode_index",
    "decode_manifest",
    "digest_of",
    "for_machine",
    "index_of",
    "resolve",
]

DOCUMENT_MAX: Final = 4 << 20
"""Largest index or manifest in bytes, as registries limit them."""
REF_NAME: Final = "org.opencontainers.image.ref.name"
INDEX_TYPES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_NESTED_MAX: Final = 3
_ARCHES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


class Platform(msgspec.Struct, frozen=True):
    """What a manifest of an index is for."""

    architecture: str = ""
    os: str = ""


class Descriptor(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What points at a blob."""

    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] = {}
    platform: Platform | None = None


class Index(msgspec.Struct, frozen=True):
    """An image index: index.json of a layout, or a list of platforms."""

    manifests: list[Descriptor]


class Manifest(msgspec.Struct, frozen=True):
    """One image: its configuration and its layers."""

    config: Descriptor
    layers: list[Descriptor]

    @property
    def blobs(self) -> list[Descriptor]:
        """All that it points at."""
        return [self.config, *self.layers]


def resolve(layout: Path, tag: str | None, machine: str) -> Descriptor:
    """Return the manifest that `tag` names, for this machine.

    Raises NotFoundError (IMAGE_NOT_FOUND), FailedError (IMAGE_BROKEN); messages name `layout`.
    """
    if not layout.is_dir():
        raise NotFoundError(f"no image is at {layout}", code="IMAGE_NOT_FOUND")
    try:
        index = decode_index(read_file(layout / "index.json", DOCUMENT_MAX), layout)
    except OSError as error:
        raise FailedError(
            f"{layout} is no OCI image layout: index.json: {error.strerror}", code="IMAGE_BROKEN"
        ) from error
    return index_of(index, layout, tag, machine, lambda one: blob(layout, one))


def index_of(
    index: Index, where: object, tag: str | None, machine: str, read: Callable[[Descriptor], bytes]
) -> Descriptor:
    """Return the manifest that `tag` names in an index; nested ones are followed by `read`."""
    found = choose(index, where, tag)
    for _ in range(_NESTED_MAX):
        if found.media_type not in INDEX_TYPES:
            return found
        found = for_machine(decode_index(read(found), where), where, machine)
    raise FailedError(f"{where}: its indexes are nested too deep", code="IMAGE_BROKEN")


def choose(index: Index, where: object, tag: str | None) -> Descriptor:
    """Return the entry of `tag`; without one the only entry, else `latest`."""
    named = {one.annotations.get(REF_NAME, ""): one for one in index.manifests}
    if tag is None and len(index.manifests) == 1:
        return index.manifests[0]
    if (tag or "latest") in named:
        return named[tag or "latest"]
    names = ", ".join(sorted(name for name in named if name)) or "none"
    raise NotFoundError(
        f"{where} holds no image with tag '{tag or 'latest'}'",
        hint=f"its tags: {names}",
        code="IMAGE_NOT_FOUND",
    )


def decode_index(data: bytes, where: object) -> Index:
    """Decode an index. Raises FailedError (IMAGE_BROKEN)."""
    try:
        index = msgspec.json.decode(data, type=Index)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FailedError(f"{where}: broken index: {error}", code="IMAGE_BROKEN") from error
    _check(index.manifests, where)
    return index


def decode_manifest(data: bytes, where: object) -> Manifest:
    """Decode a manifest. Raises FailedError (IMAGE_BROKEN)."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FailedError(f"{where}: broken manifest: {error}", code="IMAGE_BROKEN") from error
    _check(manifest.blobs, where)
    return manifest


def digest_of(data: bytes) -> str:
    """Return the digest of bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def blob(layout: Path, descriptor: Descriptor) -> bytes:
    """Return the bytes of a small blob, which must have its digest. Raises FailedError."""
    path = layout / "blobs" / "sha256" / descriptor.digest.removeprefix("sha256:")
    try:
        data = read_file(path, DOCUMENT_MAX)
    except (OSError, SheltieError) as error:
        raise FailedError(f"{layout}: cannot read a blob: {error}", code="IMAGE_BROKEN") from error
    if digest_of(data) != descriptor.digest:
        raise FailedError(f"{layout}: blob {descriptor.digest} is damaged", code="IMAGE_BROKEN")
    return data


def for_machine(index: Index, where: object, machine: str) -> Descriptor:
    """Return the manifest for this machine. Raises NotFoundError (IMAGE_NOT_FOUND)."""
    arch = _ARCHES.get(machine, machine)
    for one in index.manifests:
        if one.platform is not None and (one.platform.os, one.platform.architecture) == (
            "linux",
            arch,
        ):
            return one
    raise NotFoundError(f"{where} holds no image for linux/{arch}", code="IMAGE_NOT_FOUND")


def _check(descriptors: list[Descriptor], where: object) -> None:
    for one in descriptors:
        if not DIGEST.fullmatch(one.digest):
            raise FailedError(f"{where}: bad digest {one.digest[:80]!r}", code="IMAGE_BROKEN")
        if one.size < 0:
            raise FailedError(f"{where}: bad size {one.size}", code="IMAGE_BROKEN")
