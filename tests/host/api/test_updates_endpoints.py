"""/updates/status and /actions/*-update: statuses, texts and shapes of the contract."""

import re
from typing import Any

import pytest

from contract.errors import FailedError
from tests.host.api.conftest import Site

RUNNING = {"arch": "x86_64", "version": "1.0.0", "variant": "test"}
NEW = {"arch": "x86_64", "version": "1.2.0", "variant": "test"}
RFC3339 = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"


async def order(site: Site, verb: str) -> Any:
    """Order an update verb that is allowed, and return the status after it."""
    answer = await site.ask("POST", f"/actions/{verb}")
    assert (answer.status, answer.body) == (204, b"")
    await site.house.updates.settled()
    answer = await site.ask("GET", "/updates/status")
    assert answer.status == 200
    return answer.json


async def test_status_before_anything(site: Site) -> None:
    """Without a refresh there is no status: 404 and upstream's line."""
    answer = await site.ask("GET", "/updates/status")

    assert (answer.status, answer.text) == (
        404,
        "Update status is uninitialized, refresh-updates to initialize it",
    )
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


async def test_shape_of_the_status(site: Site) -> None:
    """All members are there, in snake_case, null where there is nothing."""
    site.offer("1.1.0", "1.2.0")
    status = await order(site, "refresh-updates")
    command = status["most_recent_command"]

    assert re.fullmatch(RFC3339, command.pop("timestamp"))
    assert status == {
        "update_state": "Available",
        "available_updates": ["1.2.0", "1.1.0"],
        "chosen_update": NEW,
        "active_partition": {"image": RUNNING, "next_to_boot": True},
        "staging_partition": None,
        "most_recent_command": {
            "cmd_type": "refresh",
            "cmd_status": "Success",
            "exit_status": 0,
            "stderr": "",
        },
    }


async def test_the_whole_way(site: Site) -> None:
    """Each verb does its step, and the timestamps of the commands differ."""
    site.offer("1.2.0")
    status: Any = {}
    states, stamps = [], set()
    for verb in ("refresh-updates", "prepare-update", "activate-update", "deactivate-update"):
        status = await order(site, verb)
        states.append(status["update_state"])
        stamps.add(status["most_recent_command"]["timestamp"])
        assert status["most_recent_command"]["cmd_type"] == verb.partition("-")[0]

    assert states == ["Available", "Staged", "Ready", "Staged"]
    assert len(stamps) == 4
    assert status["staging_partition"] == {"image": NEW, "next_to_boot": False}


@pytest.mark.parametrize("verb", ["prepare-update", "activate-update", "deactivate-update"])
async def test_not_allowed(site: Site, verb: str) -> None:
    """A verb that the state does not allow is 409."""
    answer = await site.ask("POST", f"/actions/{verb}")

    assert (answer.status, answer.text) == (
        409,
        "Update action not allowed according to update state",
    )


async def test_chosen_update_is_gone(site: Site) -> None:
    """Prepare where a later refresh found nothing is 404."""
    site.offer("1.2.0")
    await order(site, "refresh-updates")
    await order(site, "prepare-update")
    site.offer()
    await order(site, "refresh-updates")
    answer = await site.ask("POST", "/actions/prepare-update")

    assert (answer.status, answer.text) == (404, "Previously chosen Update no longer exists")


async def test_locked(site: Site) -> None:
    """While a command is at work, status and orders are 423, and the daemon goes on."""
    site.engine.gate.clear()
    assert (await site.ask("POST", "/actions/refresh-updates")).status == 204
    status = await site.ask("GET", "/updates/status")
    again = await site.ask("POST", "/actions/refresh-updates")
    assert (await site.ask("GET", "/os")).status == 200
    site.engine.gate.set()
    await site.house.updates.settled()

    assert (status.status, again.status, again.text) == (423, 423, "Update lock held")
    assert status.text.startswith("Unable to obtain shared lock for reading update status: ")
    assert (await site.ask("GET", "/updates/status")).status == 200


async def test_failure(site: Site) -> None:
    """What fails is 204 all the same; the status tells."""
    site.engine.refuse = [FailedError("nobody answers", code="NOBODY")]
    status = await order(site, "refresh-updates")

    assert status["update_state"] == "Idle"
    assert status["most_recent_command"]["cmd_status"] == "Failed"
    assert status["most_recent_command"]["exit_status"] == 1
    assert status["most_recent_command"]["stderr"] == "nobody answers [NOBODY]"


async def test_settings_reach_the_engine(site: Site) -> None:
    """A version lock is obeyed from the next refresh on, and no container hears of it."""
    site.offer("1.1.0", "1.2.0")
    await site.write({"updates": {"version-lock": "v1.1.0", "seed": 5}})
    status = await order(site, "refresh-updates")

    assert status["chosen_update"]["version"] == "1.1.0"
    assert site.engine.settings[-1].seed == 5


@pytest.mark.ours
@pytest.mark.parametrize("who", ["admin", "other"])
async def test_callers(site: Site, who: str) -> None:
    """Containers see how an update stands; they order none, but control."""
    assert (await site.ask("GET", "/updates/status", who=who)).status == 404
    for verb in ("refresh-updates", "prepare-update", "activate-update", "deactivate-update"):
        answer = await site.ask("POST", f"/actions/{verb}", who=who)
        assert (answer.status, answer.text) == (
            403,
            f"container '{who}' may not update the host",
        )
    assert (await site.ask("POST", "/actions/refresh-updates", who="control")).status == 204
