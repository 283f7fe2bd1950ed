"""What skopeo and umoci say when they fail, as errors that name the next step. Pure."""

import re
from typing import Final

from contract.errors import (
    FailedError,
    MachineError,
    NotFoundError,
    SheltieError,
    UnavailableError,
)
from host.image.name import Name
from host.runtime import programs

__all__ = ["full", "of_archive", "of_pull"]

WORDS_MAX: Final = 300
"""How much of a program's words, which may be a registry's, is passed on."""

_NO_ROOM: Final = "no space left on device"
_PREFACE: Final = re.compile(r'^(?:Error parsing image name "[^"]*": |initializing source [^ ]+ )')
_REJECTED: Final = ("source image rejected", "rejected by policy")
_DENIED: Final = ("unauthorized", "authentication required", "denied", "invalid username/password")
_UNTRUSTED_TLS: Final = ("x509:", "certificate")
_NOT_TLS: Final = "server gave HTTP response to HTTPS client"
_UNKNOWN: Final = ("manifest unknown", "name unknown", "repository name not known")
_LIES: Final = ("does not match", "did not match", "mismatch", "verification failed")
_DOWN: Final = (
    "connection refused",
    "connection reset",
    "no such host",
    "no route to host",
    "network is unreachable",
    "timeout",
    "server misbehaving",
    "temporary failure",
    "proxyconnect",
    "bad gateway",
    "service unavailable",
    "internal server error",
    "eof",
)


def of_pull(name: Name, done: programs.Done) -> SheltieError:
    """Return the error for a pull of `name` that failed."""
    why = _words(done)
    said = why.lower()

    def any_of(words: tuple[str, ...]) -> bool:
        return any(word in said for word in words)

    if _NO_ROOM in said:
        return full(name)
    if "trust policy" in said:
        return FailedError(
            f"the policy cannot be used: {why}",
            hint="correct policy.json, or remove it to allow pinned images only",
            code="POLICY_BROKEN",
        )
    if any_of(_REJECTED):
        return FailedError(
            f"image {name} is not accepted by the policy: {why}",
            hint="have it signed, or change the policy",
            code="IMAGE_UNTRUSTED",
        )
    if any_of(_UNKNOWN):
        return NotFoundError(f"registry {name.registry} has no {name}", code="IMAGE_NOT_FOUND")
    if any_of(_DENIED):
        return FailedError(
            f"registry {name.registry} does not let us have {name}: {why}",
            hint="set settings.container-registry.credentials for it",
            code="REGISTRY_DENIED",
        )
    if _NOT_TLS.lower() in said:
        return FailedError(
            f"registry {name.registry} speaks no TLS",
            hint=f"allow that by a mirror of {name.registry} with the endpoint"
            f" http://{name.registry}",
            code="REGISTRY_NOT_TLS",
        )
    if any_of(_UNTRUSTED_TLS):
        return FailedError(
            f"registry {name.registry} is not who it says: {why}",
            hint="add its authority to the host's certificates",
            code="REGISTRY_NOT_TLS",
        )
    if any_of(_LIES):
        return FailedError(f"what came for {name} is damaged: {why}", code="IMAGE_BROKEN")
    if any_of(_DOWN):
        return UnavailableError(
            f"registry {name.registry} does not answer: {why}", code="REGISTRY_DOWN"
        )
    return FailedError(f"cannot pull {name}: {why}", code="PULL_FAILED")


def of_archive(what: object, verb: str, done: programs.Done) -> SheltieError:
    """Return the error for an image on disk that could not be opened or unpacked."""
    why = _words(done)
    if _NO_ROOM in why.lower():
        return full(what)
    return FailedError(f"cannot {verb} {what}: {why}", code="IMAGE_BROKEN")


def full(what: object, needed: int | None = None, there: int | None = None) -> MachineError:
    """Return the error for a disk without room."""
    sizes = ""
    if needed is not None and there is not None:
        sizes = f": {_mega(needed)} MB are needed and {_mega(there)} MB are there"
    return MachineError(
        f"the disk is full: there is no room for {what}{sizes}",
        hint="make room in the state directory",
        code="DISK_FULL",
    )


def _mega(size: int) -> int:
    return -(-size // 1_000_000)


def _words(done: programs.Done) -> str:
    return _PREFACE.sub("", programs.last_line(done.err))[:WORDS_MAX]
