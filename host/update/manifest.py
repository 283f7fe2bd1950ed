"""What is on offer: the manifest of an update server, SHA256SUMS, by names and digests. Pure.

An update of version V is three files:

    VARIANT_ARCH_V_UUID.root      the erofs; UUID is the partition's, half of the root hash
    VARIANT_ARCH_V_UUID.verity    its hash tree, and the other half
    VARIANT_ARCH_V.efi            the UKI

ARCH is systemd's name for it. A manifest may hold several versions, and other variants beside ours.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from contract.errors import FailedError, NotFoundError, RefusedError
from contract.update import UpdateImage
from host.update.names import VERSION

__all__ = ["ARCHITECTURES", "Artifact", "Offered", "find", "offered", "parse"]

LINES_MAX: Final = 10_000
ARCHITECTURES: Final = {"x86_64": "x86-64", "aarch64": "arm64"}
"""The kernel's names and systemd's."""

_LINE: Final = re.compile(r"(?P<digest>[0-9a-f]{64}) [ *](?P<file>[^\s/]{1,200})")
_UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_FILE: Final = re.compile(
    rf"(?P<variant>[A-Za-z0-9.-]+)_(?P<arch>[a-z0-9-]+)_(?P<version>{VERSION.pattern})"
    rf"(?:_(?P<uuid>{_UUID})\.(?P<slot>root|verity)|\.efi)"
)


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file; `uuid` is that of the partition that it goes to."""

    file: str
    digest: str
    uuid: str = ""


@dataclass(frozen=True, slots=True)
class Offered:
    """The files of one update."""

    root: Artifact
    verity: Artifact
    uki: Artifact


def parse(text: str) -> Mapping[str, str]:
    """Return {file: digest} of a SHA256SUMS. Raises FailedError (UPDATE_MANIFEST)."""
    lines = text.splitlines()
    if len(lines) > LINES_MAX:
        raise FailedError("the update manifest is too long", code="UPDATE_MANIFEST")
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        part = _LINE.fullmatch(line)
        if part is None or part["file"] in found:
            raise FailedError(
                f"line {number} of the update manifest is no line of SHA256SUMS",
                hint="make it with sha256sum",
                code="UPDATE_MANIFEST",
            )
        found[part["file"]] = part["digest"]
    return found


def offered(sums: Mapping[str, str], running: UpdateImage) -> list[UpdateImage]:
    """Return the whole updates for hosts like this one.

    Raises RefusedError (UPDATE_OTHER_MACHINE) where there are updates, and all are for others.
    """
    pieces: dict[tuple[str, str, str], set[str]] = {}
    for file in sums:
        part = _FILE.fullmatch(file)
        if part:
            key = (part["variant"], part["arch"], part["version"])
            pieces.setdefault(key, set()).add(part["slot"] or "uki")
    ours = _kind(running)
    if pieces and not any(key[:2] == ours for key in pieces):
        theirs = sorted({" ".join(key[:2]) for key in pieces})
        raise RefusedError(
            f"the update manifest is for {', '.join(theirs)[:200]}, and this host is"
            f" {' '.join(ours)}",
            hint="correct settings.updates.metadata-base-url",
            code="UPDATE_OTHER_MACHINE",
        )
    return [
        UpdateImage(running.arch, version, variant)
        for (variant, arch, version), have in sorted(pieces.items())
        if (variant, arch) == ours and have == {"root", "verity", "uki"}
    ]


def find(sums: Mapping[str, str], image: UpdateImage) -> Offered:
    """Return the files of an update. Raises NotFoundError (UPDATE_GONE)."""
    found: dict[str, Artifact] = {}
    for file, digest in sums.items():
        part = _FILE.fullmatch(file)
        if part and (part["variant"], part["arch"], part["version"]) == (
            *_kind(image),
            image.version,
        ):
            found[part["slot"] or "uki"] = Artifact(file, digest, part["uuid"] or "")
    if found.keys() != {"root", "verity", "uki"}:
        raise NotFoundError(
            f"version {image.version} is not on offer any more",
            hint="refresh, and see what is",
            code="UPDATE_GONE",
        )
    return Offered(found["root"], found["verity"], found["uki"])


def _kind(image: UpdateImage) -> tuple[str, str]:
    return image.variant, ARCHITECTURES.get(image.arch, image.arch)
