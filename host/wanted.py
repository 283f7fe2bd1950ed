"""What the live state means: for the supervisor, and for the eyes of each caller. Pure."""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from contract.settings import HostContainer, Settings
from contract.userdata import merge_keys, redact
from host.callers import ADMIN, ADMIN_USER_DATA, Caller
from host.desired import Desired
from host.store import key, tree
from host.store.state import Live

__all__ = ["affected", "desired", "shown"]

_CONTAINERS = ("settings", "host-containers")


def desired(live: Live) -> dict[str, Desired]:
    """Return every container that the settings name, with effective user-data."""
    settings = msgspec.convert(tree.nest(live.settings), Settings)
    containers = settings.host_containers or {}
    return {name: _desired(name, container, live) for name, container in containers.items()}


def affected(names: Iterable[str] | None, containers: Iterable[str]) -> set[str]:
    """Return which containers changed settings concern; None stands for all of the settings.

    As upstream: a container's own settings concern it, settings elsewhere concern every one
    (core-kit host-containers). A message of the day concerns none.
    """
    if names is None:
        return set(containers)
    concerned: set[str] = set()
    for name in names:
        segments = key.split(name)
        if segments[:2] == _CONTAINERS:
            concerned.update(segments[2:3])
        elif segments != ("settings", "motd"):
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
    for name, value in settings.items():
        if key.split(name)[-1] == "user-data" and value:
            settings[name] = _encoded(redact(base64.b64decode(value)))
    return settings


def _desired(name: str, container: HostContainer, live: Live) -> Desired:
    return Desired(
        name=name,
        enabled=container.enabled or False,
        source=container.source,
        superpowered=container.superpowered or False,
        command=tuple(container.command or ()),
        user_data=_user_data(name, container.user_data, live),
    )


def _user_data(name: str, value: str | None, live: Live) -> bytes | None:
    # Admin's file is always written: where the owner set none, an old one may hold keys that were
    # handed over for another enabling.
    if name == ADMIN:
        return _effective(value, live)
    return None if value is None else base64.b64decode(value)


def _effective(value: str | None, live: Live) -> bytes:
    own = base64.b64decode(value or "")
    return merge_keys(own, [entry.key for entry in live.handed]) if live.handed else own


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
