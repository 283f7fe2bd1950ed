"""Names of images in registries: `REGISTRY/PATH[:TAG][@DIGEST]`. Pure.

The grammar is the distribution project's (reference/regexp.go); what is left out is filled in as
docker and containerd do: registry docker.io, tag latest. With a digest the tag says nothing.
"""

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["DIGEST", "Name", "parse"]

DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
"""The only digests that are used here."""

_HUB: Final = "docker.io"
_NAME_MAX: Final = 255
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_REGISTRY: Final = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:]+\])(?::[0-9]{{1,5}})?")
_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH: Final = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, slots=True)
class Name:
    """An image in a registry; with a `digest` there is no tag, without one there is."""

    registry: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        """The name without tag and digest."""
        return f"{self.registry}/{self.path}"

    def at(self, digest: str) -> "Name":
        """Return the manifest of that digest in the same repository."""
        return Name(self.registry, self.path, digest=digest)

    def __str__(self) -> str:
        return self.repository + (f"@{self.digest}" if self.digest else f":{self.tag}")


def parse(text: str) -> Name:
    """Parse a name. Raises ValueError, which says what is wrong."""
    rest, at, digest = text.partition("@")
    if at and not DIGEST.fullmatch(digest):
        raise ValueError("its digest is not sha256: and 64 lower-case hexadecimal digits")
    head, slash, last = rest.rpartition("/")
    last, colon, tag = last.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise ValueError("its tag has characters that no tag has")
    registry, path = _split(head + slash + last)
    if not _REGISTRY.fullmatch(registry):
        raise ValueError("it names no usable registry")
    if not _PATH.fullmatch(path) or len(registry) + len(path) >= _NAME_MAX:
        raise ValueError("its path has characters that no image's path has")
    return Name(registry, path, digest=digest) if at else Name(registry, path, tag or "latest")


def _split(whole: str) -> tuple[str, str]:
    first, slash, rest = whole.partition("/")
    if slash and (first == "localhost" or any(char in first for char in ".:[")):
        # The Hub's other name means the same (distribution reference/normalize.go).
        registry = _HUB if first == f"index.{_HUB}" else first
    else:
        registry, rest = _HUB, whole
    return registry, f"library/{rest}" if registry == _HUB and "/" not in rest else rest
