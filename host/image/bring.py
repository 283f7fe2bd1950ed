"""Bringing an image to where it can be started: from disk or a registry, as little as needed."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

from contract.errors import FailedError
from host.image import archive, layout, pull
from host.image.access import RegistryAccess
from host.image.blobs import Blobs
from host.image.known import Memory, Seen
from host.image.layout import Descriptor
from host.image.name import Name
from host.image.pull import Found, Limits
from host.image.reference import Reference
from host.image.seam import Tell
from host.image.skopeo import Call, Skopeo, open_archive
from host.image.trust import PINNED, Trust
from host.image.unpacked import Trees
from host.store.transactions import utc_now

__all__ = ["Bringer", "Wanted"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one asks for: where it is, how it is judged, how registries are reached."""

    where: Reference | Name
    trust: Trust
    access: RegistryAccess

    def __str__(self) -> str:
        return str(self.where)


@dataclass
class Bringer:
    """Brings images to `trees`, and notes in `memory` what it brought."""

    trees: Trees
    blobs: Blobs
    memory: Memory
    skopeo: Skopeo
    limits: Limits

    def __post_init__(self) -> None:
        self._machine = os.uname().machine
        self._locks: dict[str, asyncio.Lock] = {}
        self._busy: Counter[str] = Counter()

    @property
    def busy(self) -> set[str]:
        """The images that are being brought, from when it is known which until it is noted."""
        return set(+self._busy)

    async def bring(self, wanted: Wanted, tell: Tell) -> Seen:
        """Have the image unpacked. Raises SheltieError."""
        where = wanted.where
        with ExitStack() as held:
            if isinstance(where, Reference):
                digest = await self._from_disk(where, held)
            elif (known := self._pinned(where, wanted.trust)) is not None:
                digest = known
            else:
                digest = await self._from_registry(where, wanted, tell, held)
            seen = Seen(str(wanted), digest, utc_now(), wanted.trust.mark)
            return self.memory.note_pulled(seen)

    @asynccontextmanager
    async def _alone(self, digest: str, held: ExitStack) -> AsyncIterator[None]:
        """Be the only one who brings this image, and claim it for as long as `held`."""
        self._busy[digest] += 1
        held.callback(self._busy.subtract, [digest])
        async with self._locks.setdefault(digest, asyncio.Lock()):
            yield

    async def _from_disk(self, wanted: Reference, held: ExitStack) -> str:
        descriptor: Descriptor | None = None
        if wanted.kind == "oci":
            descriptor = await asyncio.to_thread(
                layout.resolve, wanted.path, wanted.tag, self._machine
            )
            digest = descriptor.digest
        elif wanted.kind == "oci-archive":
            descriptor = await asyncio.to_thread(archive.oci_archive, wanted, self._machine)
            digest = descriptor.digest
        else:
            digest = await asyncio.to_thread(archive.docker_archive, wanted)
        async with self._alone(digest, held):
            if not self.trees.has(digest):
                async with self.trees.scratch(wanted) as scratch:
                    source = wanted.path
                    if wanted.kind != "oci":
                        source = await open_archive(wanted, scratch)
                    made = descriptor or layout.resolve(source, None, self._machine)
                    await self.trees.unpack(wanted, digest, source, made, scratch)
        return digest

    def _pinned(self, name: Name, trust: Trust) -> str | None:
        """Return the image that a pin names, if it is there and accepted: nobody has to be asked.

        The pin may be of an index, and the image that of this machine in it.
        """
        if not name.digest:
            return None
        seen = self.memory.pulled(str(name))
        if seen is not None and seen.trust == trust.mark and self.trees.has(seen.digest):
            return seen.digest
        return name.digest if trust.mark == PINNED and self.trees.has(name.digest) else None

    async def _from_registry(self, name: Name, wanted: Wanted, tell: Tell, held: ExitStack) -> str:
        tell(f"asking {name.registry} for {name}")
        async with self.skopeo.call(name, wanted.access, wanted.trust.policy) as call:
            found = await pull.resolve(call, self._machine, self.limits)
            async with self._alone(found.digest, held):
                if not self._accepted(found, wanted.trust):
                    await self._pull(call, found, tell)
        return found.digest

    def _accepted(self, found: Found, trust: Trust) -> bool:
        """Whether the image is there and need not be judged again under this name."""
        if not self.trees.has(found.digest):
            return False
        seen = self.memory.pulled(str(found.name))
        return trust.mark == PINNED or (
            seen is not None and (seen.digest, seen.trust) == (found.digest, trust.mark)
        )

    async def _pull(self, call: Call, found: Found, tell: Tell) -> None:
        """Pull and unpack; a blob that has been damaged on disk since it came is brought again."""
        for attempt in range(2):
            async with self.trees.scratch(found.name) as scratch:
                source, descriptor = await pull.pull(
                    call, found, scratch, self.blobs, tell, self.limits
                )
                if self.trees.has(found.digest):
                    return  # only the judgement was wanted
                tell(f"unpacking {found.name}")
                try:
                    await self.trees.unpack(found.name, found.digest, source, descriptor, scratch)
                except FailedError:
                    if attempt or not await asyncio.to_thread(self.blobs.drop_damaged):
                        raise
                else:
                    return
