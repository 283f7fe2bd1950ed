"""Where a stock host differs from ours: it does what the original does, weaknesses included."""

import json
from typing import Any

import pytest

from tests.contract.pem import coded, pem
from tests.host.api.conftest import CONTAINERS, Site
from tests.host.keys import encoded, keys

pytestmark = pytest.mark.stock

ADMIN = "settings.host-containers.admin"
EXTENSIONS = (
    ("GET", "status"),
    ("POST", "stop"),
    ("GET", "containers"),
    ("GET", "containers/admin"),
    ("GET", "containers/admin/logs"),
    ("GET", "events"),
    ("GET", "generations"),
    ("GET", "generations/1"),
    ("GET", "generations/diff"),
    ("POST", "generations/1/restore"),
    ("DELETE", "settings?keys=settings.motd"),
    ("POST", "commit_and_apply"),
    ("GET", "metrics"),
)


def counts(site: Site) -> dict[str, int]:
    """Return how many writes restarted each container."""
    return {name: one.written for name, one in site.containers.desired.items()}


def rise(before: dict[str, int], after: dict[str, int]) -> set[str]:
    """Return the containers that were restarted in between."""
    return {name for name in before if after[name] > before[name]}


@pytest.mark.parametrize(("method", "target"), EXTENSIONS)
async def test_no_extension(site: Site, method: str, target: str) -> None:
    """All of /sheltie/v1/ is an unknown path: 404 without a word, from every socket."""
    for who in ("host", "control"):
        answer = await site.ask(method, f"/sheltie/v1/{target}", who=who)
        assert (answer.status, answer.body) == (404, b"")
    assert not site.house.ending.is_set()


@pytest.mark.parametrize("who", [*CONTAINERS, "host"])
@pytest.mark.parametrize(
    "body",
    [
        {"admin": {"superpowered": True, "source": "r.example/evil:1", "command": ["sh"]}},
        {"admin": {"user-data": encoded({"password-hash": "$6$x"})}},
        {"new": {"source": "r.example/evil:1", "enabled": True, "superpowered": True}},
    ],
    ids=json.dumps,
)
async def test_everybody_is_root(site: Site, who: str, body: Any) -> None:
    """Whatever anybody writes is written: there is no table, and no 403."""
    answer = await site.write({"host-containers": body}, who=who)
    seen = (await site.ask("GET", "/settings")).json["host-containers"]

    assert answer.status == 200
    assert all(seen[name][key] == value for name in body for key, value in body[name].items())


@pytest.mark.parametrize("who", CONTAINERS)
async def test_the_host_itself_is_everybodys(site: Site, who: str) -> None:
    """Reboot and updates are not refused; what comes of them is the host's matter."""
    site.offer("2.0.0")

    assert (await site.ask("POST", "/actions/refresh-updates", who=who)).status == 204
    reboot = await site.ask("POST", "/actions/reboot", who=who)
    assert (reboot.status, reboot.text) == (500, "Failed to reboot, exit code: 1, stderr: ")


@pytest.mark.parametrize("who", CONTAINERS)
async def test_everybody_execs_into_anything(site: Site, who: str) -> None:
    """Exec goes into every container that runs."""
    client = await site.exec(who)
    await client.start("echo", "in", target="other")
    output, _, close = await client.rest()

    assert (output, close) == (b"in\n", (1000, "0"))


async def test_exec_into_a_disabled_admin_fails_only_because_it_is_down(site: Site) -> None:
    """No rule refuses it: there is no process to be in."""
    await site.write({"host-containers": {"admin": {"enabled": False}}})
    client = await site.exec("control")
    await client.start("true")
    _, _, (code, reason) = await client.rest()

    assert code == 1011
    assert reason == "failed to spawn process: container 'admin' is not running"


async def test_secrets_are_shown(site: Site) -> None:
    """Whoever may read sees passwords and user-data as they were set."""
    hashed = encoded({"password-hash": "$6$secret"})
    credential = {"registry": "r.example", "username": "u", "password": "secret"}
    await site.write(
        {
            "host-containers": {"admin": {"user-data": hashed}},
            "container-registry": {"credentials": [credential]},
        }
    )
    seen = (await site.ask("GET", "/settings", who="other")).json

    assert seen["host-containers"]["admin"]["user-data"] == hashed
    assert seen["container-registry"]["credentials"] == [credential]


async def test_transactions_are_everybodys(site: Site) -> None:
    """One caller sees, commits and drops what another has pending."""
    await site.ask("PATCH", "/settings?tx=a", {"motd": "a"}, who="control")
    await site.ask("PATCH", "/settings?tx=b", {"motd": "b"}, who="control")

    assert sorted((await site.ask("GET", "/tx/list", who="other")).json) == ["a", "b"]
    assert (await site.ask("DELETE", "/tx?tx=a", who="admin")).json == ["settings.motd"]
    assert (await site.ask("POST", "/tx/commit?tx=b", who="other")).json == ["settings.motd"]


async def test_keys_of_control_replace_the_owners(site: Site) -> None:
    """User-data from control is user-data: nothing is merged, and disabling takes nothing out."""
    await site.write({"host-containers": {"admin": {"user-data": keys(9)}}})
    await site.write({"host-containers": {"admin": {"user-data": keys(1)}}}, who="control")
    await site.write({"host-containers": {"admin": {"enabled": False}}}, who="control")
    seen = (await site.ask("GET", f"/settings?keys={ADMIN}.user-data")).json

    assert seen["host-containers"]["admin"]["user-data"] == keys(1)


@pytest.mark.parametrize(
    ("body", "restarted"),
    [
        ({"host-containers": {"admin": {"enabled": True}}}, {"admin"}),  # as it was
        ({"host-containers": {"admin": {"user-data": keys(1)}}}, {"admin"}),
        ({"host-containers": {"admin": {"superpowered": True}}}, {"admin"}),
        ({"network": {"https-proxy": "http://p.example"}}, set(CONTAINERS)),
        ({"network": {"hostname": "h"}}, set(CONTAINERS)),
        ({"container-registry": {"mirrors": []}}, set(CONTAINERS)),
        ({"pki": {"x": {"data": coded(pem()), "trusted": True}}}, set(CONTAINERS)),
        ({"motd": "x"}, set()),
        ({"updates": {"ignore-waves": True}}, set()),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else "",
)
async def test_what_a_write_restarts(site: Site, body: Any, restarted: set[str]) -> None:
    """A write restarts every container that it concerns, though nothing may be different."""
    before = counts(site)
    assert (await site.write(body)).status == 200

    assert rise(before, counts(site)) == restarted


async def test_a_commit_alone_restarts_nothing_and_applying_everything_does(site: Site) -> None:
    """It is the applier that restarts: for the keys it is given, or for everything."""
    before = counts(site)
    await site.ask("PATCH", "/settings", {"host-containers": {"admin": {"enabled": True}}})
    await site.ask("POST", "/tx/commit")
    committed = counts(site)
    await site.ask("POST", "/tx/apply")

    assert committed == before
    assert rise(before, counts(site)) == set(CONTAINERS)


async def test_affected_services(site: Site) -> None:
    """The table says so, too."""
    names = "settings.container-registry.mirrors,settings.network.hostname,settings.motd"
    answer = await site.ask("GET", f"/metadata/affected-services?keys={names}")

    assert answer.json == {
        "settings.container-registry.mirrors": ["host-containers"],
        "settings.network.hostname": ["host-containers"],
    }
