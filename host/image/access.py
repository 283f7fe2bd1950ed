"""How registries are reached: mirrors, credentials, proxy, certificates; as files for skopeo. Pure.

containers-registries.conf(5) version 2 and containers-auth.json(5). Secrets go into files of mode
0600 and never into an argument or a message.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from contract.errors import UsageError

__all__ = ["Credential", "Mirror", "RegistryAccess", "auth_file", "environment", "registries_conf"]

_ANY: Final = "*"
_NOBODY: Final = "00000000-0000-0000-0000-000000000000"
"""The user name that stands beside an identity token, as registries with such tokens have it."""
_LOCATION: Final = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-:/[]"
)


@dataclass(frozen=True, slots=True)
class Mirror:
    """Other places for a registry's images, tried in order; registry `*` is every registry's."""

    registry: str
    endpoints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Credential:
    """What one registry wants to see: a name and password, their base64 `auth`, or a token."""

    registry: str
    username: str = ""
    password: str = field(default="", repr=False)
    auth: str = field(default="", repr=False)
    identitytoken: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    """All of it. `certificates` are PEM, trusted beside the machine's."""

    mirrors: tuple[Mirror, ...] = ()
    credentials: tuple[Credential, ...] = ()
    https_proxy: str = ""
    no_proxy: tuple[str, ...] = ()
    certificates: bytes = field(default=b"", repr=False)


def registries_conf(access: RegistryAccess, registry: str) -> str:
    """Return the registries.conf for pulls from `registry`. Raises UsageError (MIRROR_UNUSABLE).

    An endpoint `http://…` is spoken to without TLS; one that is the registry itself is no mirror,
    but says so of the registry.
    """
    own = [mirror.endpoints for mirror in access.mirrors if mirror.registry == registry]
    every = [mirror.endpoints for mirror in access.mirrors if mirror.registry == _ANY]
    chosen = [_endpoint(text) for texts in own or every for text in texts]
    plain = any(location == registry and insecure for location, insecure in chosen)
    lines = ["unqualified-search-registries = []", *_table("[[registry]]", registry, plain)]
    for location, insecure in chosen:
        if location != registry:
            lines += _table("[[registry.mirror]]", location, insecure)
    return "\n".join(lines) + "\n"


def auth_file(access: RegistryAccess) -> str:
    """Return the auth.json."""
    auths: dict[str, dict[str, str]] = {}
    for one in access.credentials:
        secret = base64.b64encode(f"{one.username}:{one.password}".encode()).decode()
        if one.identitytoken:
            name = base64.b64encode(f"{one.username or _NOBODY}:".encode()).decode()
            auths[one.registry] = {"auth": one.auth or name, "identitytoken": one.identitytoken}
        else:
            auths[one.registry] = {"auth": one.auth or secret}
    return json.dumps({"auths": auths})


def environment(access: RegistryAccess) -> Mapping[str, str]:
    """Return the variables that a program gets beside the usual ones."""
    found: dict[str, str] = {}
    if access.https_proxy:
        found["HTTPS_PROXY"] = found["https_proxy"] = access.https_proxy
    if access.no_proxy:
        found["NO_PROXY"] = found["no_proxy"] = ",".join(access.no_proxy)
    return found


def _endpoint(text: str) -> tuple[str, bool]:
    """Return where an endpoint lies, and whether it goes without TLS."""
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
    except ValueError:
        parts = urlsplit("")
    path = parts.path.strip("/")
    # Upstream's endpoints may end in the API's own path.
    path = "" if path == "v2" else path.removeprefix("v2/")
    location = "/".join(part for part in (parts.netloc, path) if part)
    if (
        parts.scheme not in {"http", "https"}
        or not parts.netloc
        or not _LOCATION.issuperset(location)
    ):
        raise UsageError(
            f"mirror endpoint {text[:200]!r} cannot be used",
            hint="write https://HOST[:PORT][/PATH] in settings.container-registry.mirrors",
            code="MIRROR_UNUSABLE",
        )
    return location, parts.scheme == "http"


def _table(head: str, location: str, insecure: bool) -> Iterator[str]:
    yield head
    yield f'location = "{location}"'
    if insecure:
        yield "insecure = true"
