"""Changes that upstream's API lacks: settings that go, and a commit that waits for its effect."""

import asyncio
from collections.abc import Iterable, Sequence

from contract.commit import Committed, Did, Outcome
from contract.errors import NotFoundError, UsageError
from contract.status import ContainerState, ContainerStatus
from host import callers
from host.api.message import Call, Response, done, json
from host.api.v1 import query
from host.house import House
from host.store import key, tree
from host.store.transactions import DEFAULT

__all__ = ["apply_and_wait", "commit_and_apply", "delete"]

WAIT_SECONDS = 60.0
"""How long a commit waits where nothing is said: longer than a stop and a start."""
WAIT_MAX = 600.0


async def delete(house: House, call: Call) -> Response:
    """DELETE settings: stage that the settings of `keys`, or below `prefix`, go with `tx`."""
    callers.check_delete(call.caller)
    tx = call.query.get("tx", DEFAULT)
    live = house.transactions.live.settings
    known = {**live, **house.transactions.pending(call.caller, tx)}
    names = _chosen(call, known)
    house.transactions.stage(call.caller, tx, dict.fromkeys(names))
    return done()


async def commit_and_apply(house: House, call: Call) -> Response:
    """POST commit_and_apply: as upstream's, then wait up to `wait` seconds; a Committed."""
    callers.check_changes(call.caller)
    _wait(call)
    before = house.containers.status()
    tx = call.query.get("tx", DEFAULT)
    changed = house.transactions.commit(call.caller, call.peer, tx)
    return await apply_and_wait(house, call, changed, before)


async def apply_and_wait(
    house: House, call: Call, changed: Sequence[str], before: Iterable[ContainerStatus]
) -> Response:
    """Apply what was committed, wait, and answer with what each container that it concerns did."""
    concerned = await house.apply(changed)
    settled = True
    try:
        async with asyncio.timeout(_wait(call)):
            await house.containers.settled(concerned)
    except TimeoutError:
        settled = False
    past = {status.name: status for status in before}
    outcomes = [
        _outcome(past.get(now.name), now)
        for now in house.containers.status()
        if now.name in concerned
    ]
    generation = house.transactions.live.serial
    return json(Committed(generation, list(changed), settled, outcomes))


def _chosen(call: Call, known: Iterable[str]) -> list[str]:
    names, prefix = call.words("keys"), call.text("prefix")
    if (names is None) == (prefix is None):
        raise UsageError("give either 'keys' or 'prefix'", code="INPUT_MISSING")
    if names is None:
        full = prefix if (prefix or "").startswith("settings") else f"settings.{prefix}"
        chosen = list(tree.by_prefix(dict.fromkeys(known), full or ""))
    else:
        chosen = [key.join(key.split(name)) for name in names]
    if not chosen or set(chosen) - set(known):
        missing = sorted(set(chosen) - set(known)) or [prefix or ""]
        raise NotFoundError(f"'{missing[0]}' is not set", code="SETTING_UNSET")
    return chosen


def _wait(call: Call) -> float:
    return query.seconds(call.query.get("wait"), "wait", WAIT_SECONDS, WAIT_MAX)


def _outcome(before: ContainerStatus | None, now: ContainerStatus) -> Outcome:
    return Outcome(now.name, _did(before, now), now.state, now.reason)


def _did(before: ContainerStatus | None, now: ContainerStatus) -> Did:
    ran = before is not None and before.state is ContainerState.RUNNING
    runs = now.state is ContainerState.RUNNING
    if now.state in {ContainerState.FAILED, ContainerState.WAITING}:
        return Did.FAILED
    if now.state in {ContainerState.STARTING, ContainerState.STOPPING}:
        return Did.UNDER_WAY
    if ran and runs:
        same = before is not None and (before.pid, before.since) == (now.pid, now.since)
        return Did.NOTHING if same else Did.RESTARTED
    if ran or runs:
        return Did.STARTED if runs else Did.STOPPED
    return Did.NOTHING
