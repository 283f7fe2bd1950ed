"""The engine of a host that has none: it knows what runs, and says why there is nothing more."""

from collections.abc import Callable, Mapping, Sequence

from contract.errors import MachineError
from contract.settings import Updates
from contract.update import UpdateImage
from host import release
from host.update.seam import Progress, Slots

__all__ = ["NoEngine"]


class NoEngine:
    """An Engine that never finds an update: every refresh fails, so that nobody takes it for news.

    By the state machine no other verb gets this far.
    """

    def __init__(self, os_info: Callable[[], Mapping[str, str]] = release.read) -> None:
        self._os_info = os_info

    async def slots(self) -> Slots:
        """Return what os-release says: there is nothing else."""
        found = self._os_info()
        return Slots(UpdateImage(found["arch"], found["version_id"], found["variant_id"]))

    async def available(self, settings: Updates) -> Sequence[UpdateImage]:
        """Raise MachineError (UPDATE_NO_ENGINE)."""
        raise _none()

    async def prepare(self, image: UpdateImage, settings: Updates, progress: Progress) -> None:
        """Raise MachineError (UPDATE_NO_ENGINE)."""
        raise _none()

    async def activate(self, image: UpdateImage) -> None:
        """Raise MachineError (UPDATE_NO_ENGINE)."""
        raise _none()

    async def deactivate(self) -> None:
        """Do nothing: what runs is what boots next."""


def _none() -> MachineError:
    return MachineError(
        "this host has no update engine",
        hint="update it with its own operating system's tools",
        code="UPDATE_NO_ENGINE",
    )
