"""Images for containers: from disk or a registry, only what is missing, and the last good one when
that fails.

What is brought goes through `Trees`, what is known of it through `Memory`, and what may be used is
judged by `trust`.
"""  # noqa: D205

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from contract.durable import read_file
from contract.errors import FailedError, SheltieError, TimedOutError, UsageError
from contract.event import Event, ImageFailed, ImagePulled, ImageReady, ImageRemoved, cut
from host.image import program, reference, trust
from host.image.access import RegistryAccess
from host.image.blobs import Blobs
from host.image.bring import Bringer, Wanted
from host.image.collect import Claim, superfluous
from host.image.job import Job
from host.image.known import Memory, Seen
from host.image.name import Name
from host.image.pull import Limits
from host.image.reference import Reference
from host.image.seam import Image, Tell, silent
from host.image.skopeo import Skopeo
from host.image.trust import OWNERS
from host.image.unpacked import Trees
from host.logline import event

__all__ = ["Images"]

_POLICY_MAX: Final = 1 << 20
_MOUNTINFO: Final = Path("/proc/self/mountinfo")
_log = logging.getLogger("host.image")


class Images:
    """The images of one daemon: STATE/images, judged by STATE/policy.json; secrets in RUN/images.

    `access` is asked at each pull, so that new settings count at once. `note` hears what the audit
    is to tell.
    """

    def __init__(
        self,
        state: Path,
        run: Path,
        access: Callable[[], RegistryAccess] = RegistryAccess,
        limits: Limits | None = None,
        note: Callable[[Event], object] = lambda _event: None,
    ) -> None:
        self._note = note
        self._failed: dict[Wanted, str] = {}
        home = state / "images"
        self._trees = Trees(home)
        self._blobs = Blobs(home / "blobs")
        self._memory = Memory(home / "known.json")
        self._skopeo = Skopeo(run / "images", state / "registries.d")
        self._policy = state / "policy.json"
        self._access = access
        self._bringer = Bringer(
            self._trees, self._blobs, self._memory, self._skopeo, limits or Limits()
        )
        self._patience = (limits or Limits()).patience
        self._jobs: dict[Wanted, Job[Seen]] = {}
        self._handed: dict[str, Seen] = {}
        self._sources: dict[str, str] = {}
        self._getting: Counter[str] = Counter()

    def sweep(self) -> None:
        """Remove what an interrupted daemon left, and recall what it knew. Raises MachineError."""
        self._trees.sweep()
        self._skopeo.sweep()
        self._memory.load()

    async def get(
        self,
        source: str | None,
        *,
        container: str = "",
        command: Sequence[str] = (),
        tell: Tell = silent,
    ) -> Image:
        """Return the image of `source`, or the last good one of `container` with a note."""
        wanted = await asyncio.to_thread(self._judged, reference.parse(source))
        spare = self._spare(container, wanted)
        self._sources[container] = str(wanted)
        self._getting[container] += 1
        try:
            seen = await self._brought(wanted, tell, self._patience if spare else None)
            return self._hand_out(container, seen, command)
        except UsageError:
            raise
        except SheltieError as error:
            if spare is None:
                raise
            image = self._hand_out(container, spare, command)
            _log.warning(event("last-good", container=container, digest=image.digest, why=error))
            self._note(ImageReady(cut(str(wanted)), image.digest, cut(error.message)))
            which = "last good image" if spare == self._memory.good(container) else "former image"
            note = f"runs from the {which} {image.digest} of {spare.source}, here since"
            return replace(image, note=f"{note} {spare.since}, because {error.message}")
        finally:
            self._getting[container] -= 1

    def good(self, container: str) -> None:
        """Note that the image last handed out for `container` runs well."""
        if container in self._handed:
            self._memory.note_good(container, self._handed[container])

    async def collect(self, running: Mapping[str, str]) -> Sequence[str]:
        """Remove images that no container of `running` needs, and return their digests."""
        if self._memory.broken:  # what was good is not known: nothing can be told from rubbish
            return []
        names = running.keys() | +self._getting
        claims = [self._claim(name, running.get(name, "")) for name in names]
        kept = self._trees.mounted(_MOUNTINFO.read_text()) | self._bringer.busy
        doomed = sorted(superfluous(self._trees.names(), claims, kept))
        try:
            await self._trees.remove(doomed)
            if self._idle():
                self._blobs.keep(self._trees.blobs())
        except OSError as error:
            raise FailedError(f"cannot remove images: {error}", code="IMAGES_STAY") from error
        self._memory.forget(self._trees.names(), set(names))
        for digest in doomed:
            self._note(ImageRemoved(digest))
        return doomed

    async def close(self) -> None:
        """Give up what is still being pulled."""
        for job in list(self._jobs.values()):
            await job.cancel()

    def _claim(self, container: str, running: str) -> Claim:
        handed, good = self._handed.get(container), self._memory.good(container)
        brought = self._memory.pulled(self._sources.get(container, ""))
        digests = [seen.digest if seen is not None else "" for seen in (handed, brought, good)]
        return Claim(running, *digests)

    def _judged(self, where: Reference | Name) -> Wanted:
        if isinstance(where, Reference):
            return Wanted(where, OWNERS, RegistryAccess())
        try:
            policy = read_file(self._policy, _POLICY_MAX)
        except FileNotFoundError:
            policy = None
        except (OSError, SheltieError) as error:
            raise FailedError(
                f"cannot read {self._policy}: {error}",
                hint="correct it, or remove it to allow pinned images only",
                code="POLICY_BROKEN",
            ) from error
        return Wanted(where, trust.judge(where, policy, self._policy), self._access())

    def _spare(self, container: str, wanted: Wanted) -> Seen | None:
        """Return what can be started when `wanted` cannot: judged by the same, and still there."""
        for seen in (self._memory.good(container), self._memory.pulled(str(wanted))):
            if (
                seen is not None
                and seen.trust == wanted.trust.mark
                and _stands_in(seen.source, wanted.where)
                and self._trees.has(seen.digest)
            ):
                return seen
        return None

    def _hand_out(self, container: str, seen: Seen, command: Sequence[str]) -> Image:
        image = self._trees.load(seen.digest)
        program.check(seen.source, image.rootfs, image.process, command)
        self._handed[container] = seen
        return image

    async def _brought(self, wanted: Wanted, tell: Tell, patience: float | None) -> Seen:
        """Bring it, together with whoever else wants it. Raises SheltieError."""
        job = self._jobs.get(wanted)
        if job is None or job.done:
            job = self._jobs[wanted] = Job(lambda say: self._bring(wanted, say))
        try:
            seen = await job.wait(tell, patience)
        finally:
            if job.done and self._jobs.get(wanted) is job:
                del self._jobs[wanted]
        if seen is None:
            raise TimedOutError(
                f"{job.said or f'bringing {wanted}'} after {patience or 0:.0f} s, which goes on",
                code="REGISTRY_SLOW",
            )
        return seen

    async def _bring(self, wanted: Wanted, tell: Tell) -> Seen:
        before = self._trees.names()
        try:
            seen = await self._bringer.bring(wanted, tell)
        except SheltieError as error:
            # What fails again and again in the same way is told once.
            if self._failed.get(wanted) != error.message:
                self._failed[wanted] = error.message
                self._note(ImageFailed(cut(str(wanted)), cut(error.message)))
            if error.code == "DISK_FULL" and self._idle(but=1):
                # What came of it would only keep the disk full.
                await asyncio.to_thread(self._blobs.keep, self._trees.blobs())
            raise
        self._failed.pop(wanted, None)
        if seen.digest not in before:
            self._note(ImagePulled(cut(str(wanted)), seen.digest))
        return seen

    def _idle(self, but: int = 0) -> bool:
        return sum(not job.done for job in self._jobs.values()) <= but


def _stands_in(source: str, where: Reference | Name) -> bool:
    """Whether the image of `source` may run in the place of another: the same, or another tag."""
    if source == str(where):
        return True
    if isinstance(where, Reference) or where.digest:
        return False
    former = reference.parse(source)
    return isinstance(former, Name) and former.repository == where.repository
