"""Handlers that tell what the host is and how it stands."""

from contract.errors import RefusedError
from host import wanted
from host.api.message import Call, Response, done, json
from host.callers import HOST
from host.house import House
from host.store import tree

__all__ = ["model", "os_info", "status", "stop"]


async def model(house: House, call: Call) -> Response:
    """GET /: settings, services, configuration files and os; with `prefix` what matches."""
    live = wanted.shown(house.transactions.live, call.caller)
    prefix = call.text("prefix")
    if prefix is None:
        whole = {"services": {}, "configuration-files": {}, "os": house.os_info()}
        return json({"settings": tree.nest(live), **whole})
    matching = {
        "settings": tree.nest(tree.by_prefix(live, prefix)),
        "os": tree.nest(tree.by_prefix(_os_names(house), prefix)),
    }
    return json({part: values for part, values in matching.items() if values})


async def os_info(house: House, call: Call) -> Response:
    """GET /os: the host's release; with `prefix` the matching members."""
    prefix = call.text("prefix")
    if prefix is None:
        return json(house.os_info())
    full = prefix if prefix.startswith("os") else f"os.{prefix}"
    return json(tree.nest(tree.by_prefix(_os_names(house), full)))


async def status(house: House, call: Call) -> Response:
    """GET /sheltie/v1/status: a HostStatus."""
    return json(house.status(call.caller))


async def stop(house: House, call: Call) -> Response:
    """POST /sheltie/v1/stop: end the daemon and every container; their settings stay."""
    if call.caller != HOST:
        raise RefusedError(f"{call.caller} may not stop the daemon", code="CALLER_REFUSED")
    house.stop_containers = True
    house.ending.set()
    return done()


def _os_names(house: House) -> dict[str, str]:
    return {f"os.{name}": value for name, value in house.os_info().items()}
