"""Generations of the settings: to look at, to compare, to bring back. The owner's only."""

from collections.abc import Mapping
from typing import Any

import msgspec

from contract import settings as model
from contract.errors import UsageError
from host import callers
from host.api.message import Call, Response, json
from host.api.v1 import query
from host.api.v1.changes import apply_and_wait
from host.house import House
from host.store import tree

__all__ = ["diff", "names", "restore", "show"]

_NUMBER_MAX = 10**15


async def names(house: House, call: Call) -> Response:
    """GET generations: those that are kept, the oldest first; the last one is live."""
    callers.check_generations(call.caller)
    kept = house.transactions.generations()
    return json([{"number": one.number, **msgspec.to_builtins(one.origin)} for one in kept])


async def show(house: House, call: Call, number: str) -> Response:
    """GET generations/NUMBER: where it comes from, and its settings."""
    callers.check_generations(call.caller)
    live = house.transactions.generation(_number(number))
    origin = msgspec.to_builtins(live.origin)
    return json({"number": live.serial, **origin, "settings": tree.nest(live.settings)})


async def diff(house: House, call: Call) -> Response:
    """GET generations/diff: from `from` to `to`; without `to`, to what is live."""
    callers.check_generations(call.caller)
    before = house.transactions.generation(_asked(call, "from")).settings
    after = house.transactions.live.settings
    if "to" in call.query:
        after = house.transactions.generation(_asked(call, "to")).settings
    return json(_differences(before, after))


async def restore(house: House, call: Call, number: str) -> Response:
    """POST generations/NUMBER/restore: commit its settings again, apply, wait as asked."""
    callers.check_restore(call.caller)
    back = house.transactions.generation(_number(number))
    # This release must still understand what an older one has kept.
    model.decode(msgspec.json.encode(tree.nest(back.settings)))
    before = house.containers.status()
    changed = house.transactions.restore(call.caller, call.peer, back.serial)
    return await apply_and_wait(house, call, changed, before)


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    both = before.keys() & after.keys()
    return {
        "added": {name: after[name] for name in sorted(after.keys() - before.keys())},
        "removed": {name: before[name] for name in sorted(before.keys() - after.keys())},
        "changed": {
            name: {"from": before[name], "to": after[name]}
            for name in sorted(both)
            if before[name] != after[name]
        },
    }


def _asked(call: Call, name: str) -> int:
    text = call.text(name)
    if text is None:
        raise UsageError(f"Input '{name}' is missing", code="INPUT_MISSING")
    return query.number(text, name, 0, _NUMBER_MAX)


def _number(text: str) -> int:
    return query.number(text, "number", 0, _NUMBER_MAX)
