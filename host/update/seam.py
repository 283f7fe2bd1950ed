"""The seam between the update verbs and what really updates a host."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from contract.settings import Updates
from contract.update import UpdateImage

__all__ = ["Engine", "Other", "Progress", "Slots", "Standing"]


class Standing(Enum):
    """How the image that does not run stands."""

    STAGED = "staged"  # it was prepared, and nothing boots it
    NEXT = "next"  # the next boot is into it
    OLD = "old"  # it could boot again, and does when what runs is set aside
    SET_ASIDE = "set aside"  # it has no tries left: it failed, or was rolled back


@dataclass(frozen=True, slots=True)
class Other:
    """An image that does not run; of one that was set aside, why, when, and whether on request."""

    image: UpdateImage
    standing: Standing
    why: str = ""
    at: str = ""
    requested: bool = False


@dataclass(slots=True)
class Progress:
    """How far a command is: the file, and how many bytes of how many."""

    file: str = ""
    done: int = 0
    total: int = 0

    def tell(self, done: int, total: int) -> None:
        """Note how far the file is."""
        self.done, self.total = done, total


@dataclass(frozen=True, slots=True)
class Slots:
    """What runs and what else there is; `proven` once the running image was found well."""

    running: UpdateImage
    others: Sequence[Other] = ()
    proven: bool = True

    def version(self, standing: Standing) -> UpdateImage | None:
        """Return the image that stands so; None where there is none."""
        return next((one.image for one in self.others if one.standing is standing), None)


class Engine(Protocol):
    """What updates this host. One method runs at a time; each may be cancelled, and called again.

    They raise SheltieError when it cannot be done, and then what boots next is what it was before.
    """

    async def slots(self) -> Slots:
        """Return what runs, and how other images stand; the same after a reboot."""

    async def available(self, settings: Updates) -> Sequence[UpdateImage]:
        """Return the images that are offered, of any version and in any order."""

    async def prepare(self, image: UpdateImage, settings: Updates, progress: Progress) -> None:
        """Put `image`, checked, where it does not run; the next boot is not into it."""

    async def activate(self, image: UpdateImage) -> None:
        """Let the next boot be into `image`, which was prepared, or ran, before."""

    async def deactivate(self) -> None:
        """Let the next boot be into what runs; idempotent. What was prepared stays."""
