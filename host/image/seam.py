"""The seam between supervisor and images: what it takes to have one, keep it and let it go."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from host.runtime.shape import ImageProcess

__all__ = ["Image", "ImageSource", "Tell", "silent"]

Tell = Callable[[str], None]
"""Takes a sentence about how far it is, for the status."""


@dataclass(frozen=True, slots=True)
class Image:
    """An unpacked image: its digest, its tree, and the process that it asks for.

    `note` is empty, or a sentence: this is the last good image, since when, and why not another.
    """

    digest: str
    rootfs: Path
    process: ImageProcess
    note: str = ""


class ImageSource(Protocol):
    """Where images come from. Whatever happens, what is handed out is whole and was judged."""

    async def get(
        self,
        source: str | None,
        *,
        container: str = "",
        command: Sequence[str] = (),
        tell: Tell = ...,
    ) -> Image:
        """Return the image of `source`, unpacked; it is pulled only when it has to be.

        What runs is `command`, else the image's own, and it must be there. When that cannot be had
        now, the last good image of `container` is returned with a note. Raises UsageError
        (SOURCE_UNUSABLE), which only another setting cures, or another SheltieError.
        """

    def good(self, container: str) -> None:
        """Note that the image last handed out for `container` runs well."""

    async def collect(self, running: Mapping[str, str]) -> Sequence[str]:
        """Remove images that nobody needs, and return their digests.

        `running` names every container of the settings, with the digest of what it runs from or "".
        """

    async def close(self) -> None:
        """Give up what is still being pulled."""


def silent(sentence: str) -> None:
    """Tell nobody."""
