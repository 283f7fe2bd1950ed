"""What the live state means: for the supervisor, and for the eyes of each caller. Pure."""

import base64
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from contract.settings import (
    ContainerRegistry,
    HostContainer,
    Network,
    PemCertificate,
    RegistryMirror,
    Settings,
    Updates,
)
from contract.userdata import REDACTED, merge_keys, redact
from host.callers import ADMIN, ADMIN_USER_DATA, Caller
from host.desired import Desired
from host.image.access import Credential, Mirror, RegistryAccess
from host.policy import OURS, Policy
from host.store import key, tree
from host.store.state import Live

__all__ = [
    "SERVICES",
    "affected",
    "affected_services",
    "desired",
    "registries",
    "shown",
    "updates",
]

_CONTAINERS = ("settings", "host-containers")
_SERVICE: Final = "host-containers"
SERVICES: Final = (_SERVICE,)
"""What acts on settings here. Upstream has one for each of the programs that it configures."""

_AFFECTED: Final[dict[tuple[str, ...], tuple[str, ...]]] = {
    _CONTAINERS: (_SERVICE,),
    ("settings", "network", "https-proxy"): (_SERVICE,),
    ("settings", "network", "no-proxy"): (_SERVICE,),
    ("settings", "pki"): (_SERVICE,),
    # Read when they are needed, by whoever pulls, updates or asks; nothing restarts for them.
    ("settings", "container-registry"): (),
    ("settings", "network", "hostname"): (),
    ("settings", "updates"): (),
    ("settings", "motd"): (),
}
"""Upstream's table of affected services (shared-defaults), as far as there is something to affect.

Of container-registry upstream restarts every host container; here it concerns pulls only.
"""
_AFFECTED_STOCK: Final = {
    ("settings", "network"): (_SERVICE,),
    **_AFFECTED,
    ("settings", "container-registry"): (_SERVICE,),
}
"""The same as upstream has it: for registries and the whole network everything restarts."""

_SECRETS: Final = frozenset({"password", "auth", "identitytoken"})
_NO_PROXY: Final = ("localhost", "127.0.0.1")


def desired(live: Live, policy: Policy = OURS) -> dict[str, Desired]:
    """Return every container that the settings name, with effective user-data."""
    settings = _settings(live)
    shared = _environment(settings.network or Network()), _certificates(settings.pki or {})
    containers = settings.host_containers or {}
    return {
        name: _desired(one, name, _user_data(name, one.user_data, live, policy), *shared)
        for name, one in containers.items()
    }


def updates(live: Live) -> Updates:
    """Return the settings that updates go by."""
    return _settings(live).updates or Updates()


def registries(live: Live) -> RegistryAccess:
    """Return how registries are reached; entries that name no registry say nothing."""
    settings = _settings(live)
    network, given = settings.network or Network(), settings.container_registry
    given = given or ContainerRegistry()
    return RegistryAccess(
        mirrors=tuple(
            Mirror(one.registry, tuple(one.endpoint or ()))
            for one in given.mirrors or ()
            if isinstance(one, RegistryMirror) and one.registry
        ),
        credentials=tuple(
            Credential(
                one.registry,
                one.username or "",
                one.password or "",
                one.auth or "",
                one.identitytoken or "",
            )
            for one in given.credentials or ()
            if one.registry
        ),
        https_proxy=network.https_proxy or "",
        no_proxy=tuple(dict.fromkeys((*(network.no_proxy or ()), *_NO_PROXY))),
        certificates=_certificates(settings.pki or {}),
    )


def affected_services(name: str, policy: Policy = OURS) -> tuple[str, ...] | None:
    """Return which services a setting (or a group of them) affects; None for an unknown one."""
    segments = key.split(name)
    table = _AFFECTED_STOCK if policy.every_write_restarts else _AFFECTED
    for known, services in table.items():
        if segments[: len(known)] == known:
            return services
    return None


def affected(
    names: Iterable[str] | None, containers: Iterable[str], policy: Policy = OURS
) -> set[str]:
    """Return which containers changed settings concern; None stands for all of the settings.

    As upstream: a container's own settings concern it, others that concern host containers concern
    every one (core-kit host-containers), and so does a setting that nobody knows.
    """
    if names is None:
        return set(containers)
    concerned: set[str] = set()
    for name in names:
        segments = key.split(name)
        if segments[:2] == _CONTAINERS:
            concerned.update(segments[2:3])
        elif affected_services(name, policy) != ():
            return set(containers)
    return concerned & set(containers)


def shown(live: Live, caller: Caller) -> Mapping[str, Any]:
    """Return the settings as `caller` may see them.

    The owner sees what the owner set; a container sees what is in force, without secrets.
    """
    if caller.is_host:
        return live.settings
    settings = dict(live.settings)
    if live.handed:
        settings[ADMIN_USER_DATA] = _encoded(_effective(settings.get(ADMIN_USER_DATA), live))
    return {name: _redacted(key.split(name), value) for name, value in settings.items()}


def _settings(live: Live) -> Settings:
    return msgspec.convert(tree.nest(live.settings), Settings)


def _desired(
    container: HostContainer,
    name: str,
    user_data: bytes | None,
    environment: tuple[tuple[str, str], ...],
    certificates: bytes,
) -> Desired:
    return Desired(
        name=name,
        enabled=container.enabled or False,
        source=container.source,
        superpowered=container.superpowered or False,
        command=tuple(container.command or ()),
        user_data=user_data,
        environment=environment,
        certificates=certificates,
    )


def _environment(network: Network) -> tuple[tuple[str, str], ...]:
    """Return upstream's proxy variables (core-kit proxy-env): never HTTP_PROXY, always NO_PROXY."""
    without = ",".join(dict.fromkeys((*(network.no_proxy or ()), *_NO_PROXY)))
    proxied = {"HTTPS_PROXY": network.https_proxy} if network.https_proxy else {}
    return tuple(
        (spelled, value)
        for name, value in {**proxied, "NO_PROXY": without}.items()
        for spelled in (name, name.lower())
    )


def _certificates(pki: Mapping[str, PemCertificate]) -> bytes:
    return b"".join(pki[name].bundle() for name in sorted(pki) if pki[name].trusted)


def _user_data(name: str, value: str | None, live: Live, policy: Policy) -> bytes | None:
    # Admin's file is always written: where the owner set none, an old one may hold keys that were
    # handed over for another enabling.
    if name == ADMIN and policy.callers_apart:
        return _effective(value, live)
    return None if value is None else base64.b64decode(value)


def _effective(value: str | None, live: Live) -> bytes:
    own = base64.b64decode(value or "")
    return merge_keys(own, [entry.key for entry in live.handed]) if live.handed else own


def _redacted(segments: tuple[str, ...], value: Any) -> Any:
    match segments:
        case (*_, "user-data") if value:
            return _encoded(redact(base64.b64decode(value)))
        # A proxy's password stays: every container has it in its environment.
        case ("settings", "container-registry" | "updates", *_):
            return _without_secrets(value)
        case _:
            return value


def _without_secrets(value: Any) -> Any:
    match value:
        case dict():
            return {
                name: REDACTED if name in _SECRETS and part else _without_secrets(part)
                for name, part in value.items()
            }
        case list():
            return [_without_secrets(part) for part in value]
        case str() if "@" in value:
            return _without_login(value)
        case _:
            return value


def _without_login(text: str) -> str:
    """Return a URL without what stands before its host's @."""
    try:
        login, at, _ = urlsplit(text if "://" in text else f"//{text}").netloc.rpartition("@")
    except ValueError:
        return REDACTED
    return text.replace(f"{login}{at}", f"{REDACTED}@", 1) if at else text


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
