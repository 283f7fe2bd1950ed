"""Handlers that tell what the host is and how it stands."""

from typing import Any

from host import callers, wanted
from host.api import metadata
from host.api.message import Call, Response, done, json
from host.house import House
from host.store import tree

__all__ = ["model", "os_info", "status", "stop"]


async def model(house: House, call: Call) -> Response:
    """GET /: settings, services, configuration files and os; with `prefix` what matches."""
    live = wanted.shown(house.transactions.live, call.caller)
    prefix = call.text("prefix")
    rest: dict[str, Any] = {
        "services": metadata.services_model(),
        "configuration-files": metadata.configuration_files_model(),
        "os": house.os_info(),
    }
    if prefix is None:
        return json({"settings": tree.nest(live), **rest})
    names = {"settings": live, **{part: tree.flatten(of, part) for part, of in rest.items()}}
    matching = {part: tree.nest(tree.by_prefix(of, prefix)) for part, of in names.items()}
    return json({part: values for part, values in matching.items() if values})


async def os_info(house: House, call: Call) -> Response:
    """GET /os: the host's release; with `prefix` the matching members."""
    prefix = call.text("prefix")
    if prefix is None:
        return json(house.os_info())
    full = prefix if prefix.startswith("os") else f"os.{prefix}"
    return json(tree.nest(tree.by_prefix(tree.flatten(house.os_info(), "os"), full)))


async def status(house: House, call: Call) -> Response:
    """GET /sheltie/v1/status: a HostStatus."""
    return json(house.status(call.caller))


async def stop(house: House, call: Call) -> Response:
    """POST /sheltie/v1/stop: end the daemon and every container; their settings stay."""
    callers.check_act(call.caller, "stop the daemon")
    house.stop_containers = True
    house.ending.set()
    return done()
