"""Names of UKIs on the ESP, and what they say: version, tries left, tries done. Pure.

The form is that of automatic boot assessment (uapi-group.org, Boot Loader Specification):
`NAME_VERSION.efi`, and `NAME_VERSION+LEFT-DONE.efi` while tries are counted. Versions are three
numbers, so that this order, the loader's and sysupdate's are one.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

__all__ = ["VERSION", "Uki", "order", "ranks", "version_key"]

VERSION: Final = re.compile(r"(?:0|[1-9][0-9]{0,8})(?:\.(?:0|[1-9][0-9]{0,8})){2}")
_FORM: Final = re.compile(
    rf"(?P<name>[A-Za-z0-9-]+)_(?P<version>{VERSION.pattern})"
    r"(?:\+(?P<left>[0-9]{1,9})(?:-(?P<done>[0-9]{1,9}))?)?\.efi"
)


@dataclass(frozen=True, slots=True)
class Uki:
    """One UKI. `left` is None where no tries are counted: it was found well once."""

    name: str
    version: str
    left: int | None = None
    done: int = 0

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return what a file's name says; None for a name of another form."""
        found = _FORM.fullmatch(text)
        if found is None:
            return None
        left = None if found["left"] is None else int(found["left"])
        return cls(found["name"], found["version"], left, int(found["done"] or 0))

    @property
    def file(self) -> str:
        """The file's name."""
        counted = "" if self.left is None else f"+{self.left}-{self.done}"
        return f"{self.name}_{self.version}{counted}.efi"

    @property
    def has_tries(self) -> bool:
        """Whether the loader takes it before those that have none left."""
        return self.left != 0


def version_key(version: str) -> tuple[int, ...]:
    """Return a key that orders versions as the loader does. Raises ValueError for what is none."""
    if not VERSION.fullmatch(version):
        raise ValueError(f"{version!r} is no version of three numbers")
    return tuple(map(int, version.split(".")))


def ranks(uki: Uki) -> tuple[bool, tuple[int, ...], int]:
    """Return a key by which the loader prefers: the greatest boots (systemd-boot(7))."""
    left = 1 << 31 if uki.left is None else uki.left
    return uki.has_tries, version_key(uki.version), left


def order(ukis: Iterable[Uki]) -> list[Uki]:
    """Return the UKIs as the loader tries them, the first to boot first."""
    return sorted(ukis, key=ranks, reverse=True)
