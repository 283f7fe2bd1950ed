"""Host containers as they stand, and what they wrote."""

from contract.errors import NotFoundError
from host import callers
from host.api.message import Call, Response, Stream, json
from host.api.v1 import query
from host.house import House
from host.logs import follow

__all__ = ["logs", "one", "show"]

TAIL_MAX = 1_000_000
"""Most lines that are asked for; a log is bounded anyway."""


async def show(house: House, call: Call) -> Response:
    """GET containers: every one that was ever wanted, as ContainerStatus."""
    callers.check_watch(call.caller)
    return json(house.containers.status())


async def one(house: House, call: Call, name: str) -> Response:
    """GET containers/NAME: that one."""
    callers.check_watch(call.caller)
    for status in house.containers.status():
        if status.name == name:
            return json(status)
    raise NotFoundError(f"there is no container '{name}'", code="CONTAINER_UNKNOWN")


async def logs(house: House, call: Call, name: str) -> Stream:
    """GET containers/NAME/logs: its last `tail` lines, and with `follow=true` those to come.

    A line is `TIME STREAM F|P TEXT`, as Kubernetes has it; P is a piece of a line, F its last one.
    """
    callers.check_logs(call.caller, name)
    tail = query.number(call.query.get("tail"), "tail", TAIL_MAX, TAIL_MAX)
    wait = query.switch(call, "follow")
    if name not in {status.name for status in house.containers.status()}:
        raise NotFoundError(f"there is no container '{name}'", code="CONTAINER_UNKNOWN")
    path = house.log_of(name)
    follow.check(path, name)
    return Stream("text/plain; charset=utf-8", follow.lines(path, tail, wait=wait))
