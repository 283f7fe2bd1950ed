"""The audit as a stream: the chained lines themselves, so that whoever keeps them is a witness."""

from host import callers
from host.api.message import Call, Stream
from host.api.v1 import query
from host.house import House

__all__ = ["show"]

_SEQ_MAX = 10**15


async def show(house: House, call: Call) -> Stream:
    """GET events: the records behind number `since`, and with `follow=true` those to come."""
    callers.check_audit(call.caller)
    since = query.number(call.query.get("since"), "since", 0, _SEQ_MAX)
    wait = query.switch(call, "follow")
    return Stream("application/x-ndjson", house.audit.follow(since, wait=wait))
