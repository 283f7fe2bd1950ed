"""Handlers of /actions and /updates: what changes the host itself, and how its update stands."""

from collections.abc import Awaitable, Callable

from contract.update import Command
from host import callers
from host.api.message import Call, Response, done, json
from host.house import House

__all__ = ["order", "reboot", "report", "rollback", "touched", "update_status"]


async def reboot(house: House, call: Call) -> Response:
    """POST /actions/reboot: run the configured command, once nobody is in admin."""
    callers.check_operate(call.caller, "reboot the host")
    await house.reboots.order()
    return done()


def order(command: Command) -> Callable[[House, Call], Awaitable[Response]]:
    """Return the handler of POST /actions/COMMAND: begin it, and answer before it is done."""

    async def handle(house: House, call: Call) -> Response:
        callers.check_operate(call.caller, "update the host")
        await house.updates.order(command)
        return done()

    return handle


async def update_status(house: House, _call: Call) -> Response:
    """GET /updates/status: an UpdateStatus."""
    return json(house.updates.status())


async def report(house: House, _call: Call) -> Response:
    """GET /sheltie/v1/updates: an UpdateReport."""
    return json(await house.update_report())


async def rollback(house: House, call: Call) -> Response:
    """POST /sheltie/v1/updates/rollback: boot next what ran before; an UpdateReport."""
    callers.check_operate(call.caller, "update the host")
    await house.updates.rollback()
    return json(await house.update_report())


async def touched(house: House, call: Call) -> Response:
    """POST /sheltie/v1/touched: admin tells that somebody is in. Nothing takes that back."""
    callers.check_touch(call.caller)
    if house.touched is not None:
        house.touched.touch(f"a session in {call.caller.label}")
    return done()
