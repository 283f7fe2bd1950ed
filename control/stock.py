"""A stock host: settings are all it knows. Control merges keys, remembers them, takes them out."""

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from contract import keyline
from contract.apiclient.client import HostApi
from contract.errors import FailedError, NotFoundError, SheltieError
from contract.keyline import KeyLine
from contract.rpc import KeyShown
from contract.status import ContainerState, ContainerStatus, DoorStatus, HandedKey, HostStatus
from contract.userdata import decode, merge_keys, without_keys
from control.host import ADMIN, CONTROL, Effect
from control.remembered import Remembered

__all__ = ["StockHost"]

_URI = "/settings?keys=" + ",".join(
    f"settings.host-containers.{name}.{key}"
    for name in (ADMIN, CONTROL)
    for key in ("enabled", "superpowered", "source", "user-data")
)


@dataclass(frozen=True)
class _Found:
    """What the settings say of one container."""

    enabled: bool
    superpowered: bool
    source: str
    user_data: bytes = field(repr=False)


class StockHost:
    """The host API at `api`, with nothing but upstream's endpoints."""

    is_stock = True

    def __init__(self, api: HostApi, remembered: Remembered) -> None:
        self._api = api
        self._remembered = remembered

    def enable(self, keys: Sequence[KeyLine]) -> Effect:
        """Enable admin with `keys` in its user-data.

        Nothing is written where nothing changes: a write restarts the container there and drops
        everybody. What is added is remembered before it is written.
        """
        with self._remembered.held():
            found, mine = self._read()[ADMIN], self._remembered.load()
            if found.enabled:
                own = found.user_data
            else:  # somebody else ended the last enabling: its keys are still there
                own, mine = without_keys(found.user_data, mine), ()
            added = _new(own, keys)
            wanted = merge_keys(own, added) if added else own
            if found.enabled and wanted == found.user_data:
                return Effect.NOTHING
            self._remembered.save(tuple(dict.fromkeys((*mine, *added))))
            self._set({"enabled": True}, found.user_data, wanted)
        return Effect.RESTARTED if found.enabled else Effect.CHANGED

    def disable(self) -> bool:
        """Disable admin and take out the keys that control put in."""
        with self._remembered.held():
            found, mine = self._read()[ADMIN], self._remembered.load()
            wanted = without_keys(found.user_data, mine)
            if not found.enabled and wanted == found.user_data:
                return False
            self._set({"enabled": False}, found.user_data, wanted)
            self._remembered.save(())
        return True

    def status(self) -> HostStatus:
        """Return what settings tell. A container that is enabled is taken to be starting."""
        found = self._read()
        admin = found[ADMIN]
        keys = self._remembered.load() if admin.enabled else ()
        return HostStatus(
            version="",
            caller="",
            runtime="",
            since="",
            door=DoorStatus(open=admin.enabled, keys=list(map(_handed, keys))),
            containers=[_status(name, one) for name, one in sorted(found.items())],
        )

    def _read(self) -> dict[str, _Found]:
        try:
            document = self._api.read(_URI)
        except NotFoundError:
            document = {}
        containers = document.get("host-containers", {}) if isinstance(document, dict) else {}
        return {name: _found(containers.get(name, {})) for name in (ADMIN, CONTROL)}

    def _set(self, change: dict[str, object], present: bytes, wanted: bytes) -> None:
        if wanted != present:
            change = {**change, "user-data": base64.b64encode(wanted).decode()}
        self._api.set_document({"host-containers": {ADMIN: change}})


def _found(values: Any) -> _Found:
    try:
        data = base64.b64decode(values.get("user-data") or "", validate=True)
    except (binascii.Error, ValueError, AttributeError) as error:
        raise FailedError("the host's settings cannot be understood", code="HOST_STATUS") from error
    return _Found(
        values.get("enabled") is True,
        values.get("superpowered") is True,
        str(values.get("source", "")),
        data,
    )


def _new(user_data: bytes, keys: Iterable[KeyLine]) -> tuple[str, ...]:
    """Return the lines of those `keys` that the user-data does not hold."""
    present = set()
    for line in decode(user_data)[0].authorized_keys:
        try:
            present.add(keyline.parse(line).blob)
        except SheltieError:  # not a key for us, but the owner's line all the same
            continue
    return tuple(key.text for key in keys if key.blob not in present)


def _handed(line: str) -> HandedKey:
    key = keyline.parse(line)
    return HandedKey(KeyShown(key.fingerprint, key.type, key.comment), CONTROL, "")


def _status(name: str, found: _Found) -> ContainerStatus:
    # Control is where this runs; of admin nothing is known but that somebody wants it.
    running = ContainerState.RUNNING if name == CONTROL else ContainerState.STARTING
    return ContainerStatus(
        name=name,
        enabled=found.enabled,
        state=running if found.enabled else ContainerState.DISABLED,
        since="",
        superpowered=found.superpowered,
        image=found.source,
    )
