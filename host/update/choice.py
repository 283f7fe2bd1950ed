"""Which of the images on offer is the update. Pure.

Versions are compared as semver.org 2.0.0 section 11 says; build metadata does not count.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contract.update import UpdateImage
from contract.values import SEMVER

__all__ = ["Offer", "offer", "precedence"]

LATEST = "latest"

Precedence = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]


@dataclass(frozen=True, slots=True)
class Offer:
    """The versions for this host, newest first, and the one to update to, if any."""

    versions: Sequence[str] = ()
    chosen: UpdateImage | None = None


def offer(images: Iterable[UpdateImage], running: UpdateImage, lock: str | None = None) -> Offer:
    """Return what of `images` suits a host that runs `running`.

    Without a lock the newest is chosen if it is newer. A lock names one version, older or newer.
    """
    suiting = {image.version: image for image in images if _suits(image, running)}
    versions = sorted(suiting, key=lambda version: (precedence(version), version), reverse=True)
    return Offer(tuple(versions), suiting.get(_wanted(versions, running.version, lock)))


def precedence(version: str) -> Precedence:
    """Return a key that orders versions. Raises ValueError for what is none."""
    found = SEMVER.fullmatch(version)
    if found is None:
        raise ValueError(f"{version!r} is no semantic version")
    major, minor, patch, pre, _build = found.groups()
    words = tuple(map(_word, pre.split("."))) if pre else ()
    return int(major), int(minor), int(patch), not pre, words


def _wanted(versions: Sequence[str], running: str, lock: str | None) -> str:
    """Return the version to update to; nothing where there is none."""
    if lock is not None and lock != LATEST:
        locked = lock.removeprefix("v")
        return "" if locked == running else locked
    newer = [version for version in versions if precedence(version) > precedence(running)]
    return newer[0] if newer else ""


def _suits(image: UpdateImage, running: UpdateImage) -> bool:
    same = (image.arch, image.variant) == (running.arch, running.variant)
    return same and SEMVER.fullmatch(image.version) is not None


def _word(word: str) -> tuple[bool, int, str]:
    # Numbers stand below words, and among themselves by value.
    return (False, int(word), "") if word.isdigit() else (True, 0, word)
