"""Images in archives on disk: which one a tag names, without unpacking anything."""

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from contract.errors import FailedError, NotFoundError
from host.image import layout, name
from host.image.layout import Descriptor
from host.image.reference import Reference

__all__ = ["docker_archive", "oci_archive"]

_T = TypeVar("_T")
_Read = Callable[[str], bytes]
_ENTRIES: Final = "manifest.json"


class Entry(msgspec.Struct, frozen=True, rename="pascal"):
    """One image of a docker archive."""

    config: str
    repo_tags: list[str] | None = None


def oci_archive(wanted: Reference, machine: str) -> Descriptor:
    """Return the manifest that `wanted` names. Raises NotFoundError, FailedError."""

    def find(read: _Read) -> Descriptor:
        index = layout.decode_index(read("index.json"), wanted.path)

        def blob(one: Descriptor) -> bytes:
            return read(f"blobs/sha256/{one.digest.removeprefix('sha256:')}")

        return layout.index_of(index, wanted.path, wanted.tag, machine, blob)

    return _within(wanted.path, "OCI archive", find)


def docker_archive(wanted: Reference) -> str:
    """Return the digest of the configuration of the image that `wanted` names.

    An archive of docker's has no manifest that lasts: what skopeo makes of it depends on how it
    compresses. The configuration names every layer by the digest of its content.
    Raises NotFoundError, FailedError.
    """

    def find(read: _Read) -> str:
        entries = msgspec.json.decode(read(_ENTRIES), type=list[Entry])
        return layout.digest_of(read(_choose(entries, wanted).config))

    return _within(wanted.path, "docker archive", find)


def _choose(entries: list[Entry], wanted: Reference) -> Entry:
    if wanted.tag is None and len(entries) == 1:
        return entries[0]
    tags = [tag for one in entries for tag in one.repo_tags or ()]
    for one in entries:
        if wanted.tag and _plain(wanted.tag) in map(_plain, one.repo_tags or ()):
            return one
    raise NotFoundError(
        f"{wanted.path} holds no image with name '{wanted.tag or ''}'",
        hint=f"its names: {', '.join(sorted(tags)) or 'none'}",
        code="IMAGE_NOT_FOUND",
    )


def _plain(text: str) -> str:
    """Return a name with nothing left out."""
    try:
        return str(name.parse(text))
    except ValueError:
        return text


def _within(path: Path, kind: str, find: Callable[[_Read], _T]) -> _T:
    try:
        with tarfile.open(path, "r:*") as archive:

            def read(member: str) -> bytes:
                file = archive.extractfile(member)
                return b"" if file is None else file.read(layout.DOCUMENT_MAX)

            return find(read)
    except FileNotFoundError as error:
        raise NotFoundError(f"no image is at {path}", code="IMAGE_NOT_FOUND") from error
    except (OSError, EOFError, tarfile.TarError, KeyError, msgspec.DecodeError) as error:
        raise FailedError(f"{path} is no {kind}: {error}", code="IMAGE_BROKEN") from error
