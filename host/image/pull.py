"""Pulling from a registry: what a name means now, and bringing what is missing, in a set time."""

import asyncio
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from contract.errors import FailedError, TimedOutError
from host.image import failure, layout
from host.image.blobs import Blobs
from host.image.layout import Descriptor, Manifest
from host.image.name import Name
from host.image.seam import Tell
from host.image.skopeo import Call

__all__ = ["Found", "Limits", "pull", "resolve"]

_PARTIAL: Final = "oci-put-blob*"
_KINDS: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_NESTED_MAX: Final = 3
_MEGA: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """In seconds. `answer`: for a registry to answer a question; `stall`: without a byte more;
    `whole`: for a pull; `patience`: before a last good image is started instead; `tick`: between
    two looks at how far a pull is.
    """  # noqa: D205

    answer: float = 20.0
    stall: float = 30.0
    whole: float = 3600.0
    patience: float = 20.0
    tick: float = 0.5


@dataclass(frozen=True, slots=True)
class Found:
    """What a name means for this machine: the manifest's digest, and what it points at."""

    name: Name
    digest: str
    manifest: Manifest


class _Kind(msgspec.Struct, frozen=True, rename="camel"):
    """As much of a document as tells an index from a manifest."""

    media_type: str = ""
    manifests: Any = None
    layers: Any = None


async def resolve(call: Call, machine: str, limits: Limits) -> Found:
    """Ask the registry what the call's name means. Raises SheltieError."""
    wanted = call.name
    try:
        async with asyncio.timeout(limits.answer):
            for _ in range(_NESTED_MAX):
                data = await call.manifest(wanted)
                digest = layout.digest_of(data)
                if wanted.digest and digest != wanted.digest:
                    raise FailedError(
                        f"registry {wanted.registry} lies: what it calls {wanted} is {digest}",
                        code="IMAGE_BROKEN",
                    )
                if not _is_index(data, call.name):
                    return Found(call.name, digest, layout.decode_manifest(data, call.name))
                index = layout.decode_index(data, call.name)
                wanted = wanted.at(layout.for_machine(index, call.name, machine).digest)
    except TimeoutError as error:
        raise TimedOutError(
            f"registry {wanted.registry} has not answered for {limits.answer:.0f} s",
            code="REGISTRY_SLOW",
        ) from error
    raise FailedError(f"{call.name}: its indexes are nested too deep", code="IMAGE_BROKEN")


async def pull(
    call: Call, found: Found, scratch: Path, blobs: Blobs, tell: Tell, limits: Limits
) -> tuple[Path, Descriptor]:
    """Judge and bring an image; return a layout in `scratch` and its manifest there.

    Raises SheltieError: FailedError (IMAGE_UNTRUSTED, IMAGE_BROKEN), TimedOutError
    (REGISTRY_SLOW), MachineError (DISK_FULL) and others.
    """
    blobs.make()
    missing = blobs.missing(found.manifest.blobs)
    _make_sure_of_room(found.name, scratch, missing)
    into = scratch / "pulled"
    copying = asyncio.ensure_future(call.copy(found.name.at(found.digest), into, blobs.directory))
    try:
        await _watch(copying, found.name, _Progress(missing, into, blobs), tell, limits)
    finally:
        if not copying.done():
            copying.cancel()
            await asyncio.wait({copying})
    await copying
    # skopeo turns docker's manifests into OCI's, which have another digest.
    descriptor = layout.resolve(into, None, "")
    (into / "blobs").rmdir()
    (into / "blobs").symlink_to(blobs.directory)
    return into, descriptor


class _Progress:
    """How many bytes of `missing` are there."""

    def __init__(self, missing: Iterable[Descriptor], into: Path, blobs: Blobs) -> None:
        self._missing = list(missing)
        self._into = into
        self._blobs = blobs
        self.total = sum(one.size for one in self._missing)

    def done(self) -> int:
        """Whole ones, and the parts that skopeo has put aside."""
        left = sum(one.size for one in self._blobs.missing(self._missing))
        return self.total - left + sum(_size(path) for path in self._into.glob(_PARTIAL))


async def _watch(
    copying: "asyncio.Future[None]", name: Name, progress: _Progress, tell: Tell, limits: Limits
) -> None:
    """Return when it has ended. Raises TimedOutError when it goes on no longer, or too long."""
    loop = asyncio.get_running_loop()
    began = grown = loop.time()
    done, said = -1, ""
    while not copying.done():
        now = progress.done()
        if now != done:
            done, grown = now, loop.time()
        how_far = f"{done // _MEGA} of {-(-progress.total // _MEGA)} MB"
        if (sentence := f"pulling {name}: {how_far}") != said:
            said = sentence
            tell(sentence)
        if loop.time() - grown > limits.stall or loop.time() - began > limits.whole:
            raise TimedOutError(
                f"registry {name.registry} is too slow: {how_far} of {name} came in"
                f" {loop.time() - began:.0f} s",
                code="REGISTRY_SLOW",
            )
        await asyncio.wait({copying}, timeout=limits.tick)


def _is_index(data: bytes, name: Name) -> bool:
    try:
        kind = msgspec.json.decode(data, type=_Kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FailedError(f"{name}: broken manifest: {error}", code="IMAGE_BROKEN") from error
    if kind.media_type in layout.INDEX_TYPES or (
        not kind.media_type and kind.manifests is not None
    ):
        return True
    if kind.media_type in _KINDS or (not kind.media_type and kind.layers is not None):
        return False
    raise FailedError(
        f"{name} is of a kind that cannot be used: {kind.media_type[:100]!r}",
        hint="push it as an OCI or docker (schema 2) image",
        code="IMAGE_BROKEN",
    )


def _make_sure_of_room(name: Name, place: Path, missing: Iterable[Descriptor]) -> None:
    """A disk that is filled to the brim would also take no settings any more."""
    needed = sum(one.size for one in missing)
    found = os.statvfs(place)
    there = found.f_bavail * found.f_frsize
    if needed > there:
        raise failure.full(name, needed, there)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
