"""A container's `source` as a place on disk. Pure.

`oci:DIRECTORY[:TAG]` and `oci-archive:FILE[:TAG]`, as skopeo writes them
(containers-transports(5)).
"""

from dataclasses import dataclass
from pathlib import Path

from contract.errors import UsageError

__all__ = ["Reference", "parse"]

_KINDS = ("oci", "oci-archive")


@dataclass(frozen=True, slots=True)
class Reference:
    """An image: `kind` oci or oci-archive, an absolute `path`, and a tag or none."""

    kind: str
    path: Path
    tag: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}:{self.path}" + (f":{self.tag}" if self.tag else "")


def parse(source: str | None) -> Reference:
    """Parse a source. Raises UsageError (SOURCE_UNUSABLE)."""
    if not source:
        raise UsageError(
            "no image source is set", hint="set `source` to oci:DIRECTORY:TAG", code=_CODE
        )
    kind, colon, rest = source.partition(":")
    if not colon or kind not in _KINDS:
        raise UsageError(
            f"source {source!r} cannot be used: pulling from registries comes later",
            hint="use oci:DIRECTORY:TAG or oci-archive:FILE:TAG",
            code=_CODE,
        )
    path, tag = _split(rest)
    if not path.startswith("/") or "\0" in rest:
        raise UsageError(
            f"source {source!r} cannot be used: its path is not absolute",
            hint=f"write {kind}:/PATH:TAG",
            code=_CODE,
        )
    return Reference(kind, Path(path), tag)


def _split(rest: str) -> tuple[str, str | None]:
    # A tag holds no slash here, a path may hold colons.
    path, colon, tag = rest.rpartition(":")
    return (path, tag or None) if colon and "/" not in tag else (rest, None)


_CODE = "SOURCE_UNUSABLE"
