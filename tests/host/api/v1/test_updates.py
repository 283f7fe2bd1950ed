"""/sheltie/v1/updates: how it stands at any moment, going back, and control's commands."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from host import reboot
from host.update.seam import Standing
from tests.host.api.conftest import Site
from tests.host.update.twin import image


async def control(site: Site, *words: str) -> tuple[int, str, str]:
    """Run control's command over its socket; return exit status, output, errors."""
    argv = ["-I", "-m", "control", "update", words[0], "-s", str(site.socket("control"))]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *argv, *words[1:]),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def report(site: Site) -> Any:
    """Return the host's answer."""
    answer = await site.ask("GET", "/sheltie/v1/updates")
    assert answer.status == 200
    return answer.json


async def test_before_anything(site: Site) -> None:
    """What runs is known, and upstream's status is not there yet."""
    found = await report(site)

    assert found == {
        "running": {"arch": "x86_64", "version": "1.0.0", "variant": "test"},
        "proven": True,
        "next": "1.0.0",
    }


async def test_while_a_command_is_at_work(site: Site) -> None:
    """It answers where upstream's status is locked, and says how far it is."""
    site.offer("1.1.0")
    await site.ask("POST", "/actions/refresh-updates")
    await site.house.updates.settled()
    site.engine.gate.clear()
    site.engine.reached.clear()
    await site.ask("POST", "/actions/prepare-update")
    await asyncio.wait_for(site.engine.reached.wait(), 30)
    working = (await report(site))["working"]
    site.engine.gate.set()
    await site.house.updates.settled()

    assert working == {"command": "prepare", "file": "1.1.0.root", "done": 30, "total": 60}
    assert (await report(site))["prepared"] == "1.1.0"


async def test_rollback(site: Site) -> None:
    """The next boot is into what ran before; both statuses say so; cancelling takes it back."""
    site.engine.other, site.engine.standing = image("0.9.0"), Standing.OLD
    assert (await report(site))["previous"] == "0.9.0"
    answer = await site.ask("POST", "/sheltie/v1/updates/rollback")
    status = (await site.ask("GET", "/updates/status")).json
    again = await site.ask("POST", "/sheltie/v1/updates/rollback")

    assert (answer.status, answer.json["next"]) == (200, "0.9.0")
    assert status["update_state"] == "Ready"
    assert status["staging_partition"] == {
        "image": {"arch": "x86_64", "version": "0.9.0", "variant": "test"},
        "next_to_boot": True,
    }
    assert (again.status, "is into 0.9.0 already" in again.text) == (409, True)
    assert (await site.ask("POST", "/actions/deactivate-update")).status == 204
    await site.house.updates.settled()
    assert (await report(site))["next"] == "1.0.0"


async def test_nothing_to_go_back_to(site: Site) -> None:
    """404 in one line."""
    answer = await site.ask("POST", "/sheltie/v1/updates/rollback")

    assert (answer.status, answer.text) == (404, "there is no other version to go back to")


@pytest.mark.parametrize("who", ["admin", "other"])
async def test_who_may_not(site: Site, who: str) -> None:
    """Going back is the owner's and control's."""
    site.engine.other, site.engine.standing = image("0.9.0"), Standing.OLD
    answer = await site.ask("POST", "/sheltie/v1/updates/rollback", who=who)

    assert (answer.status, answer.text) == (403, f"container '{who}' may not update the host")
    assert site.engine.calls == []


async def test_a_failed_version_is_a_problem(site: Site) -> None:
    """Status names it and why; one that was set aside on request is none."""
    site.engine.other, site.engine.standing = image("1.1.0"), Standing.SET_ASIDE
    site.engine.why = "its health check failed"
    await site.house.updates.begin()
    problems = (await site.ask("GET", "/sheltie/v1/status")).json["problems"]

    assert problems == ["version 1.1.0 failed and was given up: its health check failed"]
    assert (await report(site))["set_aside"] == [
        {"version": "1.1.0", "why": "its health check failed"}
    ]


async def test_audit(site: Site) -> None:
    """How each command ended is told, with its version."""
    site.offer("1.1.0")
    for verb in ("refresh-updates", "prepare-update", "activate-update"):
        await site.ask("POST", f"/actions/{verb}")
        await site.house.updates.settled()
    lines = (await site.ask("GET", "/sheltie/v1/events")).body.splitlines()
    events = [json.loads(line)["record"]["event"] for line in lines]
    ended = [one for one in events if one["code"] == "update.ended"]

    assert [(one["command"], one["result"], one.get("version")) for one in ended] == [
        ("refresh", "Success", None),
        ("prepare", "Success", "1.1.0"),
        ("activate", "Success", "1.1.0"),
    ]


async def test_control_applies(site: Site, tmp_path: Path) -> None:
    """One command goes the whole way; a second finds it done; --reboot orders the reboot."""
    mark = tmp_path / "mark"
    site.house.reboot_command = reboot.parse(f"touch '{mark}'")
    site.offer("1.1.0")
    assert (await control(site, "status"))[1].splitlines() == [
        "runs: 1.0.0",
        "update: nobody has looked yet: control update apply",
    ]
    first = await control(site, "apply")
    second = await control(site, "apply", "--json", "--reboot")
    status = await control(site, "status")

    assert first[:2] == (0, "runs: 1.0.0\nnext: 1.1.0\nreboot: not yet: apiclient reboot\n")
    assert json.loads(second[1]) == {"running": "1.0.0", "next": "1.1.0", "rebooting": True}
    assert mark.exists()
    assert "next: 1.1.0, at the next boot" in status[1].splitlines()
    assert "update: Ready: 1.1.0" in status[1].splitlines()


async def test_control_finds_nothing(site: Site, tmp_path: Path) -> None:
    """Nothing is said to be new, and nothing reboots."""
    mark = tmp_path / "mark"
    site.house.reboot_command = reboot.parse(f"touch '{mark}'")
    done = await control(site, "apply", "--reboot")

    assert done[:2] == (0, "runs: 1.0.0\nnext: 1.0.0: nothing else is on offer\n")
    assert not mark.exists()


async def test_control_tries_no_failed_version_by_itself(site: Site) -> None:
    """What was set aside is applied with --again only."""
    site.engine.other, site.engine.standing = image("1.1.0"), Standing.SET_ASIDE
    site.engine.why = "it did not come up"
    site.offer("1.1.0")
    refused = await control(site, "apply")
    done = await control(site, "apply", "--again")

    assert refused[0] == 5
    assert "version 1.1.0 was set aside: it did not come up; --again" in refused[2]
    assert (done[0], site.engine.next.version) == (0, "1.1.0")


async def test_control_goes_back(site: Site) -> None:
    """`rollback` says what boots next; where there is nothing, the host's line."""
    nothing = await control(site, "rollback")
    site.engine.other, site.engine.standing = image("0.9.0"), Standing.OLD
    done = await control(site, "rollback", "--json")

    assert (nothing[0], "there is no other version to go back to" in nothing[2]) == (4, True)
    assert json.loads(done[1]) == {"running": "1.0.0", "next": "0.9.0", "rebooting": False}


async def test_a_failure_is_the_commands(site: Site) -> None:
    """What the engine could not do ends the command, in its words."""
    site.offer("1.1.0")
    await site.ask("POST", "/actions/refresh-updates")
    await site.house.updates.settled()
    site.engine.refuse_prepare = "disk full"
    status, out, err = await control(site, "apply")

    assert (status, out) == (1, "")
    assert "prepare failed: disk full" in err
