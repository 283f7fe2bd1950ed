"""Settings and transactions over real sockets, as stock clients use them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.status import HostStatus
from host.api.settings import guess
from tests.contract.pem import coded, pem
from tests.host.api.conftest import CONTAINERS, OS, Site
from tests.host.keys import decoded, encoded, key_line, keys

ADMIN = "settings.host-containers.admin"
MISMATCH = (
    "Unable to match your input to the data model.  We may not have enough type information."
    "  Please try the --json input form.  Cause: "
)


async def test_patch_then_commit(site: Site) -> None:
    """A patch is 204 and pending; a commit names the keys, and makes them live."""
    patched = await site.ask("PATCH", "/settings", {"motd": "hello"})
    before = await site.ask("GET", "/settings?keys=settings.motd")
    pending = await site.ask("GET", "/tx")
    committed = await site.ask("POST", "/tx/commit_and_apply")
    after = await site.ask("GET", "/settings?keys=settings.motd")

    assert (patched.status, patched.body) == (204, b"")
    assert "content-length" not in patched.headers
    assert (before.status, before.json) == (200, {})
    assert pending.json == {"motd": "hello"}
    assert (committed.status, committed.json) == (200, ["settings.motd"])
    assert after.body == b'{"motd":"hello"}'


async def test_commit_of_nothing(site: Site) -> None:
    """A commit of nothing is 422 with upstream's line; a null is nothing."""
    await site.ask("PATCH", "/settings", {"motd": None, "host-containers": {"x": {}}})
    for target in ("/tx/commit", "/tx/commit_and_apply", "/tx/commit?tx=other"):
        answer = await site.ask("POST", target)
        assert (answer.status, answer.text) == (422, "Tried to commit with no pending changes")


@pytest.mark.ours
async def test_transactions_by_name(site: Site) -> None:
    """Transactions are listed, shown and deleted by name, each caller's own."""
    await site.ask("PATCH", "/settings?tx=a", {"motd": "a"})
    await site.ask("PATCH", "/settings?tx=b", {"host-containers": {"x": {"enabled": True}}})
    await site.ask("PATCH", "/settings?tx=c", {"host-containers": {"admin": {}}}, who="control")

    assert sorted((await site.ask("GET", "/tx/list")).json) == ["a", "b"]
    assert (await site.ask("GET", "/tx/list", who="control")).json == []
    assert (await site.ask("GET", "/tx?tx=a", who="control")).json == {}
    deleted = await site.ask("DELETE", "/tx?tx=b")
    assert deleted.json == ["settings.host-containers.x.enabled"]
    assert (await site.ask("DELETE", "/tx?tx=b")).json == []
    assert (await site.ask("GET", "/tx/list")).json == ["a"]


async def test_commit_and_apply_are_two_things(site: Site) -> None:
    """A commit alone does not reach the containers; applying does, for the keys that are named."""
    count = site.containers.applied
    await site.ask("PATCH", "/settings", {"host-containers": {"x": {"enabled": True}}})
    await site.ask("PATCH", "/settings", {"host-containers": {"y": {"enabled": True}}})
    await site.ask("POST", "/tx/commit")
    assert (site.containers.applied, "x" in site.containers.desired) == (count, False)
    applied = await site.ask("POST", "/tx/apply?keys=settings.host-containers.x.enabled")

    assert (applied.status, applied.body) == (204, b"")
    assert ("x" in site.containers.desired, "y" in site.containers.desired) == (True, False)
    assert (await site.ask("POST", "/tx/apply")).status == 204
    assert "y" in site.containers.desired
    assert site.doors.wanted == sorted([*CONTAINERS, "x", "y"])


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/settings?prefix=motd", {"motd": "m"}),
        ("/settings?prefix=mo", {"motd": "m"}),
        ("/settings?prefix=settings.motd", {"motd": "m"}),
        ("/settings?prefix=nothing", {}),
        ("/settings?keys=settings.motd,settings.nothing&prefix=host", {"motd": "m"}),
        ("/settings?keys=motd", {}),
        ("/settings?keys=settings.host-containers", {}),
        (f"/settings?keys={ADMIN}.enabled", {"host-containers": {"admin": {"enabled": True}}}),
        ("/?prefix=settings.motd", {"settings": {"motd": "m"}}),
        ("/?prefix=os.arch", {"os": {"arch": "x86_64"}}),
        ("/?prefix=nothing", {}),
        ("/os?prefix=ver", {"version_id": "1.0.0"}),
        ("/os?prefix=os.arch", {"arch": "x86_64"}),
        ("/os?prefix=x", {}),
        ("/os", OS),
    ],
)
async def test_reading(site: Site, target: str, expected: Any) -> None:
    """Keys are exact and full, prefixes are of the text, and what is not there is left out."""
    await site.write({"motd": "m"})
    answer = await site.ask("GET", target)

    assert (answer.status, answer.json) == (200, expected)


async def test_model(site: Site) -> None:
    """GET / without a prefix is the whole model, with a short prefix a whole section."""
    whole = (await site.ask("GET", "/")).json
    section = (await site.ask("GET", "/?prefix=se")).json

    assert list(whole) == ["settings", "services", "configuration-files", "os"]
    assert section == {"settings": whole["settings"], "services": whole["services"]}
    assert (await site.ask("GET", "/?prefix=settings.")).json == {"settings": whole["settings"]}


@pytest.mark.parametrize(
    ("method", "target", "body", "text"),
    [
        ("GET", "/settings?keys=", None, "Input 'keys' cannot be empty"),
        ("GET", "/settings?prefix=", None, "Input 'prefix' cannot be empty"),
        ("GET", "/?prefix=", None, "Input 'prefix' cannot be empty"),
        ("GET", "/os?prefix=", None, "Input 'prefix' cannot be empty"),
        ("POST", "/tx/apply?keys=", None, "Input 'keys' cannot be empty"),
        ("GET", "/settings?keys=a..b", None, "Unable to make data key 'a..b': "),
        ("PATCH", "/settings", b"{", "Json deserialize error: "),
        ("PATCH", "/settings", b"", "Json deserialize error: "),
        ("PATCH", "/settings", b"\xff", "Json deserialize error: "),
        ("PATCH", "/settings", b"[" * 100_000, "Json deserialize error: "),
        ("PATCH", "/settings", {"nope": 1}, "Json deserialize error: "),
        ("PATCH", "/settings", {"settings": {"motd": "x"}}, "Json deserialize error: "),
        ("PATCH", "/settings", {"motd": 1}, "Json deserialize error: "),
        (
            "PATCH",
            "/settings",
            {"host-containers": {"a_b": {"enabled": True}}},
            "Json deserialize error: ",
        ),
        (
            "PATCH",
            "/settings",
            {"host-containers": {"host": {"enabled": True}}},
            "Json deserialize error: 'host' is reserved",
        ),
        (
            "PATCH",
            "/settings",
            {"host-containers": {"admin": {"user-data": "!"}}},
            "Json deserialize error: ",
        ),
        ("PATCH", "/settings/keypair", {"request_payload": ["motd"]}, "Failed to split the string"),
        ("PATCH", "/settings/keypair", {"request_payload": ["a b=c"]}, "Prefix 'a b' is not a val"),
        ("PATCH", "/settings/keypair", {"request_payload": "x"}, "Json deserialize error: "),
        ("PATCH", "/settings/keypair", {"payload": []}, "Json deserialize error: "),
        (
            "PATCH",
            "/settings/keypair",
            {"request_payload": ["motd=42"]},
            MISMATCH,
        ),
    ],
)
async def test_bad_requests(site: Site, method: str, target: str, body: Any, text: str) -> None:
    """What cannot be understood is 400 with one plain line, and nothing is pending."""
    answer = await site.ask(method, target, body)

    assert (answer.status, answer.text[: len(text)]) == (400, text)
    assert "\n" not in answer.text
    assert (await site.ask("GET", "/tx/list")).json == []


async def test_wrong_content_type(site: Site) -> None:
    """A body that does not say it is JSON is refused."""
    answer = await site.ask("PATCH", "/settings", b"{}", kind="text/plain")

    assert (answer.status, answer.text) == (400, "Content type error")


async def test_keypair(site: Site) -> None:
    """Pairs are split at the first =, `settings.` may be left out, and types are guessed."""
    pairs = ["motd=a=b c", f"{ADMIN}.enabled=false", "host-containers.x.source=oci:/x:1"]
    answer = await site.ask("PATCH", "/settings/keypair", {"request_payload": pairs})

    assert (answer.status, answer.body) == (204, b"")
    assert (await site.ask("GET", "/tx")).json == {
        "motd": "a=b c",
        "host-containers": {"admin": {"enabled": False}, "x": {"source": "oci:/x:1"}},
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("false", False),
        ("True", "True"),
        ("0", 0),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", 2.0**64),
        ("-1", -1.0),
        ("1.5", 1.5),
        ("1e999", "1e999"),
        ("1" + "0" * 400, "1" + "0" * 400),
        ("9" * 5000, "9" * 5000),
        ("NaN", "NaN"),
        ("01", "01"),
        ("null", "null"),
        ("[1]", "[1]"),
        ('"x"', '"x"'),
        ("", ""),
    ],
)
def test_guess(text: str, value: Any) -> None:
    """A boolean, an unsigned number, a number, else a string."""
    guessed = guess(text)

    assert (type(guessed), guessed) == (type(value), value)


@given(st.text(max_size=30) | st.from_regex(r"-?[0-9]{0,25}(\.[0-9]{1,3})?(e[0-9]{1,4})?"))
def test_guess_any(text: str) -> None:
    """Every text has a value, and it can be sent as JSON."""
    json.loads(json.dumps(guess(text), allow_nan=False))


REST: dict[str, Any] = {
    "network": {
        "hostname": "node-1.example",
        "https-proxy": "http://proxy:3128",
        "no-proxy": [".internal", "10.0.0.0/8"],
    },
    "container-registry": {
        "mirrors": [{"registry": "docker.io", "endpoint": ["https://mirror"]}],
        "credentials": [{"registry": "docker.io", "username": "u", "password": "hush"}],
    },
    "pki": {"corporate": {"data": coded(pem()), "trusted": True}},
    "updates": {"metadata-base-url": "https://u/m", "version-lock": "latest", "seed": 9},
}


async def test_the_other_settings(site: Site) -> None:
    """Network, registries, certificates and updates: written, pending, live, and read by name."""
    await site.ask("PATCH", "/settings", REST)
    assert (await site.ask("GET", "/tx")).json == REST
    changed = await site.ask("POST", "/tx/commit_and_apply")
    live = (await site.ask("GET", "/settings")).json

    assert changed.json == sorted(
        f"settings.{part}.{name}"
        for part, name in [
            ("network", "hostname"),
            ("network", "https-proxy"),
            ("network", "no-proxy"),
            ("container-registry", "mirrors"),
            ("container-registry", "credentials"),
            ("pki", "corporate.data"),
            ("pki", "corporate.trusted"),
            ("updates", "metadata-base-url"),
            ("updates", "seed"),
            ("updates", "version-lock"),
        ]
    )
    assert {part: live[part] for part in REST} == REST
    one = await site.ask("GET", "/settings?keys=settings.network.no-proxy")
    assert one.json == {"network": {"no-proxy": [".internal", "10.0.0.0/8"]}}
    prefixed = await site.ask("GET", "/settings?prefix=updates.s")
    assert prefixed.json == {"updates": {"seed": 9}}


async def test_they_reach_the_containers(site: Site) -> None:
    """Proxy variables and trusted certificates are wanted of every container."""
    before = site.containers.desired["admin"]
    await site.write(REST)
    for name in CONTAINERS:
        one = site.containers.desired[name]
        environment = dict(one.environment)
        assert environment["https_proxy"] == environment["HTTPS_PROXY"] == "http://proxy:3128"
        assert environment["NO_PROXY"] == ".internal,10.0.0.0/8,localhost,127.0.0.1"
        assert one.certificates == pem().encode()

    assert dict(before.environment) == {
        "NO_PROXY": "localhost,127.0.0.1",
        "no_proxy": "localhost,127.0.0.1",
    }


@pytest.mark.ours
async def test_containers_see_no_registry_secret(site: Site) -> None:
    """A password is redacted for containers, and they write none of these settings."""
    await site.write(REST)
    for who in ("control", "admin", "other"):
        seen = await site.ask("GET", "/?prefix=settings.", who=who)
        assert b"hush" not in seen.body
        assert b'"password":"REDACTED"' in seen.body
    for body in ({part: values} for part, values in REST.items()):
        assert (await site.write(body, who="control")).status == 403


async def test_pairs_of_the_other_settings(site: Site) -> None:
    """Pairs reach settings of one value; a list needs the JSON form, and that is said."""
    pairs = ["network.https-proxy=http://p", "updates.seed=7", "updates.ignore-waves=true"]
    pairs += ['settings.pki."corporate".trusted=false']
    done = await site.ask("PATCH", "/settings/keypair", {"request_payload": pairs})
    bad = {"request_payload": ["network.no-proxy=a,b"]}
    refused = await site.ask("PATCH", "/settings/keypair?tx=b", bad)

    assert done.status == 204
    assert (await site.ask("GET", "/tx")).json == {
        "network": {"https-proxy": "http://p"},
        "pki": {"corporate": {"trusted": False}},
        "updates": {"ignore-waves": True, "seed": 7},
    }
    assert (refused.status, refused.text[: len(MISMATCH)]) == (400, MISMATCH)


async def test_many_containers(site: Site) -> None:
    """Settings for 500 containers are one transaction like any other."""
    containers = {f"c{number}": {"enabled": True, "source": "oci:/x"} for number in range(500)}
    changed = await site.write({"host-containers": containers})

    assert (changed.status, len(changed.json)) == (200, 1000)
    assert len(site.doors.wanted) == 500 + len(CONTAINERS)
    assert len((await site.ask("GET", "/settings")).json["host-containers"]) == 503


@pytest.mark.ours
async def test_handing_over_keys(site: Site) -> None:
    """Control's keys join the user-data in force, not what the owner sees, until admin ends."""
    owner = {"user": "ops", "password-hash": "secret", "ssh": {"authorized-keys": [key_line(9)]}}
    await site.write(
        {"host-containers": {"admin": {"enabled": False, "user-data": encoded(owner)}}}
    )
    body = {"host-containers": {"admin": {"user-data": keys(1), "enabled": True}}}
    done = await site.write(body, who="control")
    target = f"/settings?keys={ADMIN}.user-data"
    mine = (await site.ask("GET", target)).json["host-containers"]["admin"]["user-data"]
    seen = (await site.ask("GET", target, who="control")).json["host-containers"]["admin"]

    assert done.json == [f"{ADMIN}.enabled", f"{ADMIN}.user-data"]
    assert decoded(mine) == owner
    shown = decoded(seen["user-data"])
    assert shown["ssh"]["authorized-keys"] == [key_line(9), key_line(1)]
    assert "secret" not in json.dumps(shown)
    effective = json.loads(site.containers.desired["admin"].user_data or b"")
    assert effective["ssh"]["authorized-keys"] == [key_line(9), key_line(1)]
    assert effective["password-hash"] == "secret"
    await site.write({"host-containers": {"admin": {"enabled": False}}}, who="admin")
    assert json.loads(site.containers.desired["admin"].user_data or b"") == owner


@pytest.mark.ours
async def test_status(site: Site) -> None:
    """Status says who asks, how the door stands and whose keys are there."""
    import msgspec

    body = {"host-containers": {"admin": {"user-data": keys(1), "enabled": True}}}
    await site.write(body, who="control")
    for who in ("host", "control", "admin", "other"):
        answer = await site.ask("GET", "/sheltie/v1/status", who=who)
        status = msgspec.json.decode(answer.body, type=HostStatus)
        assert (answer.status, status.caller, status.door.open) == (200, who, True)
        assert [(key.by, key.key.comment) for key in status.door.keys] == [("control uid 0", "k1")]
        assert [container.name for container in status.containers] == sorted(CONTAINERS)


@pytest.mark.ours
@pytest.mark.parametrize(
    ("who", "body"),
    [
        ("control", {"host-containers": {"admin": {"superpowered": True}}}),
        ("control", {"host-containers": {"admin": {"source": "oci:/x"}}}),
        ("control", {"host-containers": {"admin": {"command": ["sh"]}}}),
        ("control", {"host-containers": {"control": {"enabled": False}}}),
        ("control", {"host-containers": {"new": {"enabled": True}}}),
        ("control", {"motd": "x"}),
        ("admin", {"host-containers": {"admin": {"enabled": True}}}),
        ("other", {"host-containers": {"admin": {"enabled": False}}}),
    ],
)
async def test_refusals(site: Site, who: str, body: Any) -> None:
    """What the table refuses is 403 with one plain line, and nothing stays pending."""
    before = (await site.ask("GET", "/settings")).json
    answer = await site.write(body, who=who)

    assert (answer.status, answer.headers["content-type"]) == (403, "text/plain; charset=utf-8")
    assert answer.text.startswith(f"container '{who}' may ")
    assert "\n" not in answer.text
    assert (await site.ask("GET", "/tx/list", who=who)).json == []
    assert (await site.ask("GET", "/settings")).json == before


@pytest.mark.ours
async def test_readers_may_only_read(site: Site) -> None:
    """A container that is neither control nor admin is refused every verb but GET."""
    for method, target in [
        ("POST", "/tx/commit"),
        ("POST", "/tx/apply"),
        ("POST", "/tx/commit_and_apply"),
        ("DELETE", "/tx"),
        ("POST", "/sheltie/v1/stop"),
    ]:
        assert (await site.ask(method, target, who="other")).status == 403, target
    assert (await site.ask("POST", "/tx/apply", who="control")).status == 403
    assert (await site.ask("POST", "/sheltie/v1/stop", who="control")).status == 403


@pytest.mark.ours
async def test_log_holds_no_values(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Every write is logged with who, what and the outcome, and without what was written."""
    caplog.set_level("INFO")
    secret = encoded({"password-hash": "hush"})
    await site.write({"host-containers": {"admin": {"user-data": secret}}})
    await site.write({"host-containers": {"admin": {"user-data": secret}}}, who="control")
    await site.ask("PATCH", "/settings/keypair", {"request_payload": [secret]})
    lines = [record.getMessage() for record in caplog.records]

    assert any("caller=host" in line and f"{ADMIN}.user-data" in line for line in lines)
    assert any("caller=control" in line and "code=USER_DATA_REFUSED" in line for line in lines)
    assert all(secret not in line and "\n" not in line for line in lines)
