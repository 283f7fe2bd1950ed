"""The engine of the host's own image: systemd-sysupdate, and around it what it leaves undone.

sysupdate judges the manifest's signature, writes both partitions of the other slot and labels them
when they are whole. Ours: bringing the files so that a broken download goes on, reading the slot
again, putting the UKI on the ESP for good, asking what the firmware would say, and knowing what
boots next. All of that is told by the ESP's names and by what runs, so that it outlives a reboot.
"""

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from msgspec import structs

from contract import durable
from contract.errors import ConflictError, FailedError, NotFoundError, UsageError
from contract.settings import Updates
from contract.update import UpdateImage
from host import release
from host.runtime import programs
from host.update import fetch, firmware, manifest, notes, signature
from host.update.esp import Esp
from host.update.fetch import Source
from host.update.manifest import Artifact
from host.update.names import Uki, version_key
from host.update.places import SIGNATURE, SUMS, Places
from host.update.seam import Other, Progress, Slots, Standing
from host.update.slot import Slot, interruptible

__all__ = ["TRIES", "Sysupdate"]

TRIES: Final = 3
"""Boots that a new image has to prove itself."""


@dataclass
class Sysupdate:
    """An Engine. `name` is the image's, as labels and UKIs bear it.

    `source` says how servers are reached at the moment, `about` what runs.
    """

    name: str
    places: Places
    source: Callable[[], Source] = Source
    about: Callable[[], Mapping[str, str]] = release.read
    tries: int = TRIES

    def __post_init__(self) -> None:
        self._esp = Esp(self.places.esp, self.name)
        self._slot = Slot(self.name, self.places)

    async def slots(self) -> Slots:
        """Return what runs, and what the ESP has beside it. Raises MachineError (ESP_UNUSABLE)."""
        return await asyncio.to_thread(self._slots)

    async def available(self, settings: Updates) -> Sequence[UpdateImage]:
        """Fetch the manifest and return what it has for this host. Raises SheltieError."""
        base = _base(settings)
        files = {SUMS: b"", SIGNATURE: b""}
        source = self.source()
        for file in files:
            files[file] = await asyncio.to_thread(fetch.small, source, f"{base}/{file}")
        # Judged beside, so that a bad manifest never takes the place of the one that is prepared.
        judged = self.places.staging / "judged"
        await asyncio.to_thread(_write, judged, files)
        try:
            sums = await self._judged(judged)
            found = manifest.offered(sums, self._running())
            await asyncio.to_thread(_write, self.places.staging, files)
        finally:
            await asyncio.to_thread(shutil.rmtree, judged, ignore_errors=True)
        return found

    async def prepare(self, image: UpdateImage, settings: Updates, progress: Progress) -> None:
        """Bring the files, have sysupdate write the slot, read it again, and keep the UKI ready."""
        slots = await self.slots()
        if not slots.proven:
            raise ConflictError(
                f"version {slots.running.version} is still being tried, and the other slot is its"
                " fall-back",
                hint="wait until its health is known: control update status",
                code="UPDATE_UNPROVEN",
            )
        if image.version == slots.running.version:
            raise ConflictError(f"version {image.version} runs", code="UPDATE_RUNS")
        offered = manifest.find(await self._judged(self.places.staging), image)
        self._sweep({offered.root.file, offered.verity.file, offered.uki.file})
        if not await self._slot.holds(offered, image.version):
            for artifact in (offered.verity, offered.root):
                await self._bring(artifact, settings, progress)
            await self._clear(slots.running.version)
            await self._slot.write(offered, image.version)
        uki = await self._bring(offered.uki, settings, progress)
        await self._clear(slots.running.version)
        target = Uki(self.name, image.version)
        await asyncio.to_thread(self._esp.put, uki, target, offered.uki.digest)
        notes.forget(self.places.notes, image.version)
        self._sweep(set())

    async def activate(self, image: UpdateImage) -> None:
        """Put the UKI where the loader sees it, once nothing speaks against it."""
        slots = await self.slots()
        standing = next((one.standing for one in slots.others if one.image == image), None)
        match standing:
            case Standing.STAGED:
                await self._activate_prepared(image, slots)
            case Standing.OLD:
                await self._return_to(image)
            case Standing.NEXT:
                return
            case _:
                raise _not_staged(image.version)

    async def deactivate(self) -> None:
        """Take the UKI of what was activated away, and let the loader see what runs again."""
        await asyncio.to_thread(self._deactivate)

    def _slots(self) -> Slots:
        running = self._running()
        seen = self._esp.ukis()
        own = next((uki for uki in seen if uki.version == running.version), None)
        first = seen[0].version if seen else running.version
        others = [
            self._other(structs.replace(running, version=uki.version), _standing(uki, first))
            for uki in seen
            if uki.version != running.version
        ]
        visible = {uki.version for uki in seen}
        others += [
            Other(structs.replace(running, version=uki.version), Standing.STAGED)
            for uki in self._esp.prepared()
            if uki.version not in visible
        ]
        # Set aside by us while it runs (`left` is 0) is no trial.
        return Slots(running, others, proven=own is None or not own.left)

    def _other(self, image: UpdateImage, standing: Standing) -> Other:
        if standing is not Standing.SET_ASIDE:
            return Other(image, standing)
        note = notes.read(self.places.notes).get(image.version, notes.Note())
        return Other(image, standing, note.why, note.at, note.requested)

    async def _activate_prepared(self, image: UpdateImage, slots: Slots) -> None:
        offered = manifest.find(await self._judged(self.places.staging), image)
        prepared = Uki(self.name, image.version)
        file = self._esp.path(prepared, prepared=True)
        await asyncio.to_thread(self._esp.check, file, offered.uki.digest)
        if not await self._slot.is_labelled(offered, image.version):
            raise _not_staged(image.version)
        await firmware.check(file, self.places.variables)
        await self._clear_choice()
        target = self._esp.path(replace(prepared, left=self.tries))
        await asyncio.to_thread(self._esp.move, file, target)
        if version_key(image.version) < version_key(slots.running.version):
            await asyncio.to_thread(self._set_aside_running, f"{image.version} was activated")
        await asyncio.to_thread(self._esp.check, target, offered.uki.digest)
        await self._check_next(image.version)

    async def _return_to(self, image: UpdateImage) -> None:
        """Let the loader prefer an image that ran before, by setting aside what runs."""
        seen = await asyncio.to_thread(self._esp.ukis)
        file = next(self._esp.path(uki) for uki in seen if uki.version == image.version)
        if not await self._slot.is_there(image.version):
            raise NotFoundError(
                f"the other slot does not hold version {image.version} any more",
                hint="prepare it again",
                code="UPDATE_NO_OTHER",
            )
        await firmware.check(file, self.places.variables)
        await self._clear_choice()
        why = f"rolled back on request to {image.version}"
        await asyncio.to_thread(self._set_aside_running, why)
        await self._check_next(image.version)

    def _set_aside_running(self, why: str) -> None:
        running = self._running()
        for uki in self._esp.ukis():
            if uki.version == running.version and uki.has_tries:
                aside = replace(uki, left=0, done=max(uki.done, 1))
                self._esp.move(self._esp.path(uki), self._esp.path(aside))
        notes.put(self.places.notes, running.version, why, requested=True)

    def _deactivate(self) -> None:
        running = self._running()
        noted = notes.read(self.places.notes).get(running.version)
        for uki in self._esp.ukis():
            if uki.version == running.version and uki.left == 0 and noted and noted.requested:
                self._esp.move(self._esp.path(uki), self._esp.path(replace(uki, left=None)))
                notes.forget(self.places.notes, running.version)
        for other in self._slots().others:
            if other.standing is not Standing.NEXT:
                continue
            uki = next(one for one in self._esp.ukis() if one.version == other.image.version)
            plain = Uki(self.name, uki.version)
            self._esp.move(self._esp.path(uki), self._esp.path(plain, prepared=True))

    async def _check_next(self, version: str) -> None:
        """See that it was worth it. Raises FailedError (UPDATE_NOT_NEXT), with all put back."""
        seen = await asyncio.to_thread(self._esp.ukis)
        if not seen or seen[0].version != version:
            await asyncio.to_thread(self._deactivate)
            raise FailedError(
                f"the loader would not boot version {version} next",
                hint=f"see {self._esp.path(Uki(self.name, version)).parent}",
                code="UPDATE_NOT_NEXT",
            )

    async def _clear_choice(self) -> None:
        if firmware.has_choice(self.places.variables):
            for verb in ("set-default", "set-oneshot"):
                done = await programs.run([programs.find("bootctl"), verb, ""], seconds=60)
                if done.status:
                    raise FailedError(
                        f"bootctl {verb}: {programs.last_line(done.err)}", code="UPDATE_NOT_NEXT"
                    )

    async def _judged(self, place: Path) -> Mapping[str, str]:
        """Return the sums of a manifest whose signature is good. Raises SheltieError."""
        try:
            data = durable.read_file(place / SUMS, fetch.SMALL_MAX)
        except OSError as error:
            raise NotFoundError(
                "there is no update manifest here", hint="refresh first", code="UPDATE_GONE"
            ) from error
        await signature.check(place / SUMS, place / SIGNATURE, self.places.keyring)
        return manifest.parse(data.decode("utf-8", "replace"))

    async def _bring(self, artifact: Artifact, settings: Updates, progress: Progress) -> Path:
        base = (settings.targets_base_url or "").rstrip("/") or _base(settings)
        source = self.source()
        progress.file = artifact.file
        progress.tell(0, 0)
        return await interruptible(
            lambda stop: fetch.artifact(
                source,
                f"{base}/{artifact.file}",
                artifact,
                self.places.staging,
                stop,
                progress.tell,
            )
        )

    async def _clear(self, running: str) -> None:
        """Take away every UKI but that of what runs: the slot that they stand for is written to."""

        def clear() -> None:
            files = [self._esp.path(uki) for uki in self._esp.ukis() if uki.version != running]
            files += [self._esp.path(uki, prepared=True) for uki in self._esp.prepared()]
            self._esp.remove(files)

        await asyncio.to_thread(clear)

    def _sweep(self, keep: set[str]) -> None:
        """Remove files of updates from the staging place, but those of `keep` and their parts."""
        for path in self.places.staging.iterdir():
            file = path.name.removesuffix(".part")
            if file not in keep and file.endswith((".root", ".verity", ".efi")):
                path.unlink(missing_ok=True)

    def _running(self) -> UpdateImage:
        found = self.about()
        return UpdateImage(found["arch"], found["version_id"], found["variant_id"])


def _standing(uki: Uki, first: str) -> Standing:
    if uki.version == first:
        return Standing.NEXT
    return Standing.OLD if uki.has_tries else Standing.SET_ASIDE


def _base(settings: Updates) -> str:
    base = (settings.metadata_base_url or "").rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise UsageError(
            "it is not set where updates come from",
            hint="set settings.updates.metadata-base-url to an http(s) address",
            code="UPDATE_NO_SOURCE",
        )
    return base


def _write(place: Path, files: Mapping[str, bytes]) -> None:
    try:
        durable.ensure_directory(place)
        for name, data in files.items():
            durable.write_file(place / name, data)
    except OSError as error:
        raise FailedError(
            f"cannot write {place}: {error.strerror}",
            hint="make room on the data partition",
            code="UPDATE_UNWRITABLE",
        ) from error


def _not_staged(version: str) -> NotFoundError:
    return NotFoundError(
        f"version {version} is not prepared", hint="prepare it again", code="UPDATE_NOT_STAGED"
    )
