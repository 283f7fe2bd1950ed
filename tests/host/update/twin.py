"""The update engine's twin: two slots in memory, and images that are offered."""

import asyncio
from collections.abc import Sequence

from contract.errors import FailedError, SheltieError
from contract.settings import Updates
from contract.update import UpdateImage
from host.update.seam import Other, Progress, Slots, Standing

__all__ = ["TwinEngine", "image"]


def image(version: str, variant: str = "test", arch: str = "x86_64") -> UpdateImage:
    """Return an image of the twin's kind."""
    return UpdateImage(arch, version, variant)


class TwinEngine:
    """An Engine. `refuse` is raised by the next call; `gate` holds every call up while clear."""

    def __init__(self, running: str = "1.0.0", offered: Sequence[str] = ()) -> None:
        self.offered = [image(version) for version in offered]
        self.settings: list[Updates] = []
        self.refuse: list[SheltieError] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.reached = asyncio.Event()
        self.calls: list[str] = []
        self._running = image(running)
        self.other: UpdateImage | None = None
        self.standing = Standing.STAGED
        self.why = ""
        self.refuse_prepare = ""
        self.next = self._running

    async def slots(self) -> Slots:
        """Return what runs, and what is in the other slot."""
        if self.other is None:
            return Slots(self._running)
        standing = Standing.NEXT if self.next == self.other else self.standing
        return Slots(self._running, [Other(self.other, standing, self.why)])

    async def available(self, settings: Updates) -> Sequence[UpdateImage]:
        """Return what is offered."""
        self.settings.append(settings)
        await self._call("available")
        return self.offered

    async def prepare(self, image: UpdateImage, settings: Updates, progress: Progress) -> None:
        """Write the other slot; it holds nothing while that lasts."""
        self.other, self.next = None, self._running
        progress.file = f"{image.version}.root"
        progress.tell(30, 60)
        await self._call("prepare")
        if self.refuse_prepare:
            raise FailedError(self.refuse_prepare, code="TWIN")
        if image not in self.offered:
            raise FailedError(f"{image.version} is not offered", code="UPDATE_GONE")
        self.other, self.standing = image, Standing.STAGED

    async def activate(self, image: UpdateImage) -> None:
        """Let the other slot be next."""
        await self._call("activate")
        if self.other != image:
            raise FailedError(f"{image.version} is not prepared", code="UPDATE_NOT_STAGED")
        self.next = image

    async def deactivate(self) -> None:
        """Let the running slot be next."""
        await self._call("deactivate")
        self.next = self._running

    async def next_boot(self) -> UpdateImage:
        """Return what boots next: the promises look at it."""
        return self.next

    async def _call(self, name: str) -> None:
        self.calls.append(name)
        self.reached.set()
        await self.gate.wait()
        if self.refuse:
            raise self.refuse.pop(0)
