"""Handlers of /tx. A caller sees, commits and drops its own transactions only."""

from host import callers
from host.api.message import Call, Response, done, json
from host.house import House
from host.store import tree
from host.store.transactions import DEFAULT

__all__ = ["apply", "commit", "commit_and_apply", "drop", "names", "show"]


async def show(house: House, call: Call) -> Response:
    """GET /tx: what is pending in `tx`."""
    return json(tree.nest(house.transactions.pending(call.caller, _tx(call))))


async def names(house: House, call: Call) -> Response:
    """GET /tx/list: the transactions that hold something."""
    return json(house.transactions.names(call.caller))


async def drop(house: House, call: Call) -> Response:
    """DELETE /tx: forget `tx`; answers with the names that it held."""
    callers.check_changes(call.caller)
    return json(house.transactions.drop(call.caller, _tx(call)))


async def commit(house: House, call: Call) -> Response:
    """POST /tx/commit: make `tx` live without acting on it."""
    return json(_commit(house, call))


async def apply(house: House, call: Call) -> Response:
    """POST /tx/apply: act on what is live, for `keys` or for everything."""
    keys = call.words("keys")
    callers.check_apply(call.caller, keys)
    await house.apply(keys)
    return done()


async def commit_and_apply(house: House, call: Call) -> Response:
    """POST /tx/commit_and_apply: both in one."""
    changed = _commit(house, call)
    await house.apply(changed)
    return json(changed)


def _commit(house: House, call: Call) -> list[str]:
    callers.check_changes(call.caller)
    return house.transactions.commit(call.caller, call.peer, _tx(call))


def _tx(call: Call) -> str:
    return call.query.get("tx", DEFAULT)
