"""A host of ours: it merges handed-over keys and drops them by itself, and tells its state."""

import base64
from collections.abc import Sequence

import msgspec

from contract.apiclient.client import HostApi
from contract.errors import FailedError
from contract.keyline import KeyLine
from contract.status import HostStatus
from control.host import ADMIN, STATUS_URI, Effect

__all__ = ["OurHost"]


class OurHost:
    """The host API at `api`, with our extensions."""

    is_stock = False

    def __init__(self, api: HostApi) -> None:
        self._api = api

    def enable(self, keys: Sequence[KeyLine]) -> Effect:
        """Enable admin and hand `keys` over; this disturbs nobody who is in."""
        door = self.status().door
        known = {handed.key.fingerprint for handed in door.keys}
        new = [key.text for key in keys if key.fingerprint not in known]
        if door.open and not new:
            return Effect.NOTHING
        change: dict[str, object] = {"enabled": True}
        if new:
            document = msgspec.json.encode({"ssh": {"authorized-keys": new}})
            change["user-data"] = base64.b64encode(document).decode()
        self._set(change)
        return Effect.CHANGED

    def disable(self) -> bool:
        """Disable admin; the host drops the keys. False when it was disabled already."""
        if not self.status().door.open:
            return False
        self._set({"enabled": False})
        return True

    def status(self) -> HostStatus:
        """Return the daemon's own word."""
        try:
            return msgspec.convert(self._api.read(STATUS_URI), HostStatus)
        except msgspec.ValidationError as error:
            raise FailedError(
                f"the host's status cannot be understood: {error}",
                hint="host and control image are of different releases",
                code="HOST_STATUS",
            ) from error

    def _set(self, change: dict[str, object]) -> None:
        self._api.set_document({"host-containers": {ADMIN: change}})
