"""Which images may be used: pinned by digest, or accepted by the owner's policy. Pure.

The policy is a containers-policy.json(5), which skopeo judges by. Images on disk are the owner's
own: whoever may set such a source may put the image there too.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from contract.errors import FailedError
from host.image.name import Name

__all__ = ["ANY", "OWNERS", "PINNED", "Trust", "judge"]

ANY: Final = b'{"default":[{"type":"insecureAcceptAnything"}]}'
"""The policy where the digest says it all."""
PINNED: Final = "digest"
"""The mark where nothing but a digest is asked for."""

_SIGNED: Final = ("signedBy", "sigstoreSigned")
_EXACT: Final = (None, "matchExact", "matchRepoDigestOrExact")


@dataclass(frozen=True, slots=True)
class Trust:
    """How an image is judged: the policy for skopeo, and a mark of what was judged by.

    An image that was accepted under one mark has to be judged again under another.
    """

    policy: bytes
    mark: str


OWNERS: Final = Trust(ANY, "owner")
"""What is on disk."""


def judge(name: Name, policy: bytes | None, place: Path) -> Trust:
    """Return how `name` is judged; `policy` is what lies at `place`, None without one.

    Raises FailedError (IMAGE_UNTRUSTED, POLICY_BROKEN).
    """
    if policy is None:
        if name.digest:
            return Trust(ANY, PINNED)
        raise FailedError(
            f"image {name} is neither pinned by a digest nor judged by a policy",
            hint=f"set `source` to {name.repository}@sha256:…, or write {place}"
            " (containers-policy.json), which says whose signatures to accept",
            code="IMAGE_UNTRUSTED",
        )
    try:
        document = json.loads(policy)
        if not isinstance(document, dict) or "default" not in document:
            raise ValueError("it has no default")  # noqa: TRY301  joins the others
        if not name.digest:
            _tighten(document, str(name))
        rendered = json.dumps(document).encode()
    except (ValueError, RecursionError, AttributeError, TypeError) as error:
        raise FailedError(
            f"{place} is no containers-policy.json: {error}",
            hint="correct it, or remove it to allow pinned images only",
            code="POLICY_BROKEN",
        ) from error
    return Trust(rendered, f"policy {hashlib.sha256(policy).hexdigest()}")


def _tighten(document: Any, wanted: str) -> None:
    """Have signatures name exactly `wanted`.

    What a tag means is asked once, and the manifest is then pulled by its digest, so that nothing
    moves in between. For a digest skopeo accepts the signature of any tag in the repository, and an
    old signed image could be passed off as this tag.
    """
    scopes = [document["default"]] if "default" in document else []
    for transport in document.get("transports", {}).values():
        scopes += transport.values()
    for requirement in (one for scope in scopes for one in scope):
        if requirement.get("type") not in _SIGNED:
            continue
        identity = requirement.get("signedIdentity", {})
        signed = wanted
        if identity.get("type") == "remapIdentity":
            prefix = identity["prefix"]
            if wanted.startswith(prefix):
                signed = identity["signedPrefix"] + wanted.removeprefix(prefix)
        elif identity.get("type") not in _EXACT:
            continue
        requirement["signedIdentity"] = {"type": "exactReference", "dockerReference": signed}
