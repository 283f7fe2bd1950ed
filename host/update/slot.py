"""The other slot: systemd-sysupdate writes it, and we read it again."""

import asyncio
import json
import threading
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from contract import durable
from contract.errors import FailedError, SheltieError
from host.runtime import programs
from host.update import disk, fetch
from host.update.manifest import Offered
from host.update.places import SIZES, Places

__all__ = ["Slot", "interruptible"]

SIZES_VERSION: Final = 1
VERITY_LABEL_END: Final = "_verity"
SECONDS: Final = 1800.0
"""Longest run of sysupdate: it copies from disk to disk."""

T = TypeVar("T")


class Slot:
    """The slot that does not run, by the labels of image `name`."""

    def __init__(self, name: str, places: Places) -> None:
        self._name, self._places = name, places

    async def is_there(self, version: str) -> bool:
        """Whether a slot is labelled with this version. Raises SheltieError."""
        return set(self._labels(version)) <= {one.label for one in await self._table()}

    async def is_labelled(self, offered: Offered, version: str) -> bool:
        """Whether it is labelled, and marked with the root hash, of this very update."""
        found = {(one.label, one.uuid) for one in await self._table()}
        uuids = (offered.root.uuid, offered.verity.uuid)
        return set(zip(self._labels(version), uuids, strict=True)) <= found

    async def holds(self, offered: Offered, version: str) -> bool:
        """Whether a slot holds this update, read from the disk to its last byte."""
        table, sizes = await self._table(), self._sizes()
        pairs = zip(self._labels(version), (offered.root, offered.verity), strict=True)
        for label, artifact in pairs:
            part = next((one for one in table if one.label == label), None)
            size = sizes.get(artifact.file, 0)
            if part is None or part.uuid != artifact.uuid or not 0 < size <= part.size:
                return False
            read = partial(disk.digest, self._places.disk(), part.start, size)
            if await interruptible(read) != artifact.digest:
                return False
        return True

    async def write(self, offered: Offered, version: str) -> None:
        """Have sysupdate write the files that are staged, and read them again.

        Raises FailedError (UPDATE_NOT_WRITTEN, UPDATE_SLOT_DAMAGED).
        """
        labels = {one.label for one in await self._table()}
        if labels & set(self._labels(version)):  # whole by its label, and not by its content
            await self._run("vacuum", "--instances-max=1")
        files = (offered.root.file, offered.verity.file)
        sizes = {file: (self._places.staging / file).stat().st_size for file in files}
        try:
            durable.write_file(
                self._places.staging / SIZES,
                json.dumps({"version": SIZES_VERSION, "sizes": sizes}).encode(),
            )
        except OSError as error:
            raise fetch.full(self._places.staging, SIZES) from error
        await self._run("update", version)
        if not await self.holds(offered, version):
            await self._run("vacuum", "--instances-max=1")
            raise FailedError(
                f"the slot does not hold what was written for version {version}",
                hint="try again; if it stays so, the disk is ill",
                code="UPDATE_SLOT_DAMAGED",
            )

    def _sizes(self) -> dict[str, int]:
        """Return the lengths of what was written: manifests tell none. Unknown, it is not whole."""
        try:
            found = json.loads(durable.read_file(self._places.staging / SIZES, fetch.SMALL_MAX))
            if found["version"] != SIZES_VERSION:
                return {}
            return {str(file): int(size) for file, size in found["sizes"].items()}
        except (OSError, ValueError, TypeError, LookupError, AttributeError, SheltieError):
            return {}

    async def _table(self) -> list[disk.Partition]:
        return await disk.partitions(self._places.disk())

    async def _run(self, *words: str) -> None:
        # It ends with us, and its workers with it: a half-written slot has no label.
        argv = [programs.find("setpriv"), "--pdeathsig", "KILL", *self._places.program]
        argv += [f"--definitions={self._places.definitions}", *words]
        done = await programs.run(argv, seconds=SECONDS)
        if done.status:
            raise FailedError(
                f"systemd-sysupdate {words[0]}: {programs.last_line(done.err)}",
                hint="try again",
                code="UPDATE_NOT_WRITTEN",
            )

    def _labels(self, version: str) -> tuple[str, str]:
        """Return the labels of root and verity."""
        label = f"{self._name}_{version}"
        return label, f"{label}{VERITY_LABEL_END}"


async def interruptible(work: Callable[[threading.Event], T]) -> T:
    """Do work in a thread that ends soon after we are cancelled."""
    stop = threading.Event()
    try:
        return await asyncio.to_thread(work, stop)
    finally:
        stop.set()
