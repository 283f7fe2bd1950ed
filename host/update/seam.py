"""The seam between the update verbs and what really updates a host."""

from collections.abc import Sequence
from typing import Protocol

from contract.settings import Updates
from contract.update import UpdateImage

__all__ = ["Engine"]


class Engine(Protocol):
    """What updates this host. One method runs at a time; each may be cancelled, and called again.

    They raise SheltieError when it cannot be done, and then what boots next is what it was before.
    """

    async def running(self) -> UpdateImage:
        """Return the image that runs."""

    async def available(self, settings: Updates) -> Sequence[UpdateImage]:
        """Return the images that are offered, of any version and in any order."""

    async def prepare(self, image: UpdateImage) -> None:
        """Put `image`, checked, where it does not run; the next boot is not into it."""

    async def activate(self, image: UpdateImage) -> None:
        """Let the next boot be into `image`, which was prepared before."""

    async def deactivate(self) -> None:
        """Let the next boot be into what runs; idempotent. What was prepared stays."""
