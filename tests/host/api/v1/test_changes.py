"""Deleting settings, commits that wait, and generations, over real sockets."""

import asyncio
from typing import Any

import pytest

from contract.commit import Committed, Did
from host.callers import ADMIN_ENABLED
from tests.host.api.conftest import Site
from tests.host.keys import encoded, key_line, keys

ADMIN = "settings.host-containers.admin"


async def test_delete_is_a_transaction(site: Site) -> None:
    """A deleted setting is pending first, seen as such, and gone after the commit."""
    await site.write({"motd": "hello"})
    deleted = await site.ask("DELETE", "/sheltie/v1/settings?keys=settings.motd&tx=t")
    pending = await site.ask("GET", "/tx?tx=t")
    still = await site.ask("GET", "/settings?keys=settings.motd")
    committed = await site.ask("POST", "/tx/commit_and_apply?tx=t")
    gone = await site.ask("GET", "/settings?keys=settings.motd")

    assert (deleted.status, pending.json, still.json) == (204, {"motd": None}, {"motd": "hello"})
    assert (committed.status, committed.json, gone.json) == (200, ["settings.motd"], {})


async def test_delete_a_whole_container(site: Site) -> None:
    """A container whose settings are gone is wanted no more, and has no socket."""
    prefix = "settings.host-containers.other."
    await site.ask("DELETE", f"/sheltie/v1/settings?prefix={prefix}")
    await site.ask("POST", "/tx/commit_and_apply")

    assert "other" not in site.containers.desired
    assert site.doors.wanted == ["admin", "control"]


async def test_delete_then_set_again(site: Site) -> None:
    """In one transaction the last word counts."""
    await site.write({"motd": "a"})
    await site.ask("DELETE", "/sheltie/v1/settings?keys=settings.motd")
    await site.ask("PATCH", "/settings", {"motd": "b"})
    await site.ask("POST", "/tx/commit")

    assert (await site.ask("GET", "/settings?keys=settings.motd")).json == {"motd": "b"}


async def test_deleting_enabled_closes_the_door(site: Site) -> None:
    """What is not enabled is off: keys that were handed over go with it."""
    await site.write({"host-containers": {"admin": {"user-data": keys(1)}}}, who="control")
    assert site.house.transactions.live.handed
    await site.ask("DELETE", f"/sheltie/v1/settings?keys={ADMIN_ENABLED}")
    await site.ask("POST", "/tx/commit_and_apply")

    assert not site.house.admin_enabled
    assert site.house.transactions.live.handed == ()


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("?keys=", 400),
        ("?keys=settings.motd", 404),
        ("?prefix=settings.nothing", 404),
        ("?keys=a..b", 400),
        (f"?keys={ADMIN_ENABLED}&prefix=settings.", 400),
        (f"?keys={ADMIN_ENABLED},settings.motd", 404),
    ],
)
async def test_delete_refuses_what_is_not_there(site: Site, query: str, status: int) -> None:
    """A name that is not set, or none at all, deletes nothing."""
    answer = await site.ask("DELETE", f"/sheltie/v1/settings{query}")

    assert answer.status == status
    assert "\n" not in answer.text
    assert (await site.ask("GET", "/tx")).json == {}


async def test_wait_for_what_containers_do(site: Site) -> None:
    """The answer comes once it is done, and tells of each container that it concerns."""
    await site.ask("PATCH", "/settings", {"host-containers": {"admin": {"enabled": False}}})
    site.containers.ready.clear()
    asking = asyncio.create_task(site.ask("POST", "/sheltie/v1/commit_and_apply?wait=20"))
    done, _ = await asyncio.wait({asking}, timeout=0.1)
    assert not done
    site.containers.ready.set()
    answer = await asking

    (outcome,) = answer.json["containers"]
    assert outcome == {"name": "admin", "did": Did.STOPPED, "state": "disabled"}
    assert answer.json["settled"] is True
    assert answer.json["changed"] == [ADMIN_ENABLED]
    assert answer.json["generation"] == site.house.transactions.live.serial


async def test_waiting_ends(site: Site) -> None:
    """Whoever waits long enough is told how it stands."""
    site.containers.ready.clear()
    await site.ask("PATCH", "/settings", {"host-containers": {"admin": {"enabled": False}}})
    answer = await site.ask("POST", "/sheltie/v1/commit_and_apply?wait=0.05")

    assert (answer.status, answer.json["settled"]) == (200, False)


@pytest.mark.parametrize("wait", ["x", "-1", "601", "nan", "inf", "1e9"])
async def test_wait_is_checked_first(site: Site, wait: str) -> None:
    """A wait that makes no sense commits nothing."""
    await site.ask("PATCH", "/settings", {"motd": "x"})
    answer = await site.ask("POST", f"/sheltie/v1/commit_and_apply?wait={wait}")

    assert answer.status == 400
    assert (await site.ask("GET", "/tx")).json == {"motd": "x"}


async def test_commit_of_nothing(site: Site) -> None:
    """As upstream's: 422."""
    assert (await site.ask("POST", "/sheltie/v1/commit_and_apply")).status == 422


async def test_generations(site: Site) -> None:
    """Each commit is a generation: with whose it was, what it changed, and its settings."""
    await site.write({"motd": "a"})
    await site.write({"host-containers": {"admin": {"enabled": False}}}, who="admin")
    listed = (await site.ask("GET", "/sheltie/v1/generations")).json
    shown = (await site.ask("GET", "/sheltie/v1/generations/2")).json

    assert [one["number"] for one in listed] == [1, 2, 3]
    assert [one["changed"] for one in listed[1:]] == [["settings.motd"], [ADMIN_ENABLED]]
    assert [one["by"].split()[0] for one in listed] == ["host", "host", "admin"]
    assert (shown["number"], shown["settings"]["motd"]) == (2, "a")
    assert (await site.ask("GET", "/sheltie/v1/generations/9")).status == 404
    assert (await site.ask("GET", "/sheltie/v1/generations/x")).status == 400


async def test_diff(site: Site) -> None:
    """What was added, what went, and what changed, from one generation to another or to now."""
    await site.write({"motd": "a"})
    await site.write({"motd": "b", "host-containers": {"new": {"enabled": False}}})
    await site.ask("DELETE", f"/sheltie/v1/settings?keys={ADMIN_ENABLED}")
    await site.ask("POST", "/tx/commit")
    expected: dict[str, Any] = {
        "added": {"settings.host-containers.new.enabled": False},
        "removed": {ADMIN_ENABLED: True},
        "changed": {"settings.motd": {"from": "a", "to": "b"}},
    }

    assert (await site.ask("GET", "/sheltie/v1/generations/diff?from=2&to=4")).json == expected
    assert (await site.ask("GET", "/sheltie/v1/generations/diff?from=2")).json == expected
    assert (await site.ask("GET", "/sheltie/v1/generations/diff")).status == 400


async def test_restore(site: Site) -> None:
    """A generation comes back as a new one, applied, and what it did not have is gone."""
    before = (await site.ask("GET", "/settings")).json
    await site.write({"motd": "x", "host-containers": {"admin": {"enabled": False}}})
    answer = await site.ask("POST", "/sheltie/v1/generations/1/restore?wait=5")
    listed = (await site.ask("GET", "/sheltie/v1/generations")).json

    assert (answer.status, answer.json["generation"]) == (200, 3)
    assert answer.json["changed"] == [ADMIN_ENABLED, "settings.motd"]
    assert [one["did"] for one in answer.json["containers"]] == ["started"]
    assert (await site.ask("GET", "/settings")).json == before
    assert (listed[-1]["restored"], listed[-1]["number"]) == (1, 3)
    assert site.containers.desired["admin"].enabled


async def test_restore_keeps_keys_of_an_open_door(site: Site) -> None:
    """Keys handed over belong to the enabling, not to the settings that come back."""
    await site.write({"host-containers": {"admin": {"user-data": keys(1)}}}, who="control")
    await site.write({"motd": "x"})
    await site.ask("POST", "/sheltie/v1/generations/1/restore")

    assert [entry.key for entry in site.house.transactions.live.handed] == [key_line(1)]


async def test_generations_hold_no_handed_keys(site: Site) -> None:
    """What control hands over is no setting of the owner's."""
    await site.write({"host-containers": {"admin": {"user-data": keys(1)}}}, who="control")
    shown = (await site.ask("GET", "/sheltie/v1/generations/2")).json

    assert "user-data" not in shown["settings"]["host-containers"]["admin"]


def test_committed_is_what_clients_decode() -> None:
    """The answer's type has a default for each member that may be absent."""
    assert set(Committed.__struct_fields__) == {"generation", "changed", "settled", "containers"}


async def test_secrets_stay_out_of_the_audit(site: Site) -> None:
    """The audit tells names, never values."""
    secret = encoded({"password-hash": "s3cret-value", "user": "u"})
    await site.write({"motd": "m0td-value", "host-containers": {"admin": {"user-data": secret}}})
    await site.ask("PATCH", "/settings", {"motd": {"s3cret-value": 1}})
    lines = (await site.ask("GET", "/sheltie/v1/events")).text

    assert "settings.host-containers.admin.user-data" in lines
    assert secret not in lines
    assert "m0td-value" not in lines
    assert "s3cret-value" not in lines
