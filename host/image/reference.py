"""A container's `source`: a place on disk, or a name in a registry. Pure.

`oci:DIRECTORY[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:NAME:TAG]` and
`docker://NAME`, as skopeo writes them (containers-transports(5)); `NAME` alone, as upstream has it,
means docker://.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contract.errors import UsageError
from host.image import name
from host.image.name import Name

__all__ = ["Reference", "parse"]

_LOCAL: Final = ("oci", "oci-archive", "docker-archive")
_FOREIGN: Final = (
    "atomic containers-storage dir docker-daemon ostree sif tarball http https".split()  # noqa: SIM905  reads best
)
_REMOTE: Final = "docker://"
_CODE: Final = "SOURCE_UNUSABLE"


@dataclass(frozen=True, slots=True)
class Reference:
    """An image on disk: its `kind`, an absolute `path`, and a tag or none.

    For docker-archive the tag is a name with its tag.
    """

    kind: str
    path: Path
    tag: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}:{self.path}" + (f":{self.tag}" if self.tag else "")


def parse(source: str | None) -> Reference | Name:
    """Parse a source. Raises UsageError (SOURCE_UNUSABLE)."""
    if not source:
        raise UsageError(
            "no image source is set",
            hint="set `source` to REGISTRY/NAME@sha256:… or oci:DIRECTORY:TAG",
            code=_CODE,
        )
    kind, _, rest = source.partition(":")
    if kind in _LOCAL:
        return _local(source, kind, rest)
    if kind in _FOREIGN:
        raise UsageError(
            f"source {source!r} cannot be used: {kind}: is none of our transports",
            hint="use docker://NAME, oci:, oci-archive: or docker-archive:",
            code=_CODE,
        )
    try:
        return name.parse(source.removeprefix(_REMOTE))
    except ValueError as error:
        raise UsageError(
            f"source {source[:300]!r} cannot be used: {error}",
            hint="write REGISTRY/NAME:TAG, REGISTRY/NAME@sha256:… or oci:DIRECTORY:TAG",
            code=_CODE,
        ) from error


def _local(source: str, kind: str, rest: str) -> Reference:
    path, tag = _split_name(rest) if kind == "docker-archive" else _split_tag(rest)
    if not path.startswith("/") or "\0" in rest:
        raise UsageError(
            f"source {source!r} cannot be used: its path is not absolute",
            hint=f"write {kind}:/PATH:TAG",
            code=_CODE,
        )
    return Reference(kind, Path(path), tag)


def _split_tag(rest: str) -> tuple[str, str | None]:
    # A tag holds no slash here, a path may hold colons.
    path, colon, tag = rest.rpartition(":")
    return (path, tag or None) if colon and "/" not in tag else (rest, None)


def _split_name(rest: str) -> tuple[str, str | None]:
    # A name holds slashes and colons, so the path holds no colon, as skopeo has it.
    path, _, wanted = rest.partition(":")
    return path, wanted or None
