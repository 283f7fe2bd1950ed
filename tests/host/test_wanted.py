"""What the live state means for the supervisor and for each caller."""

import json

import pytest

from contract.settings import Updates
from host import wanted
from host.callers import ADMIN_ENABLED, ADMIN_USER_DATA, HOST, Caller
from host.desired import Desired
from host.image.access import Credential, Mirror, RegistryAccess
from host.store.state import Handed, Live
from tests.contract.pem import coded, pem
from tests.host.keys import decoded, encoded, key_line

CONTROL = Caller("control")
KEY = Handed(key_line(1), "control", 0, "now")
NO_PROXY = (("NO_PROXY", "localhost,127.0.0.1"), ("no_proxy", "localhost,127.0.0.1"))
OWNER = {"user": "ops", "password-hash": "$y$secret", "ssh": {"authorized-keys": [key_line(9)]}}


def test_defaults() -> None:
    """A container of which only the name is known is off and has no powers."""
    live = Live({"settings.host-containers.x.source": "oci:/x"})

    assert wanted.desired(live) == {"x": Desired("x", source="oci:/x", environment=NO_PROXY)}


def test_user_data_is_effective() -> None:
    """Admin gets what the owner set and the keys handed over."""
    live = Live({ADMIN_USER_DATA: encoded(OWNER), ADMIN_ENABLED: True}, (KEY,))
    data = wanted.desired(live)["admin"].user_data or b""

    assert json.loads(data) == OWNER | {"ssh": {"authorized-keys": [key_line(9), key_line(1)]}}


def test_keys_leave_no_trace_in_the_file() -> None:
    """Where the owner set nothing, admin's file is emptied, not left with keys of last time."""
    assert wanted.desired(Live({ADMIN_ENABLED: True}))["admin"].user_data == b""


def test_others_user_data_is_left_alone() -> None:
    """An unset user-data leaves another container's file as it is, as upstream does."""
    live = Live({"settings.host-containers.x.enabled": True})

    assert wanted.desired(live)["x"].user_data is None


def test_owner_sees_what_the_owner_set() -> None:
    """The host's socket shows the owner's value, without the keys handed over."""
    live = Live({ADMIN_USER_DATA: encoded(OWNER)}, (KEY,))

    assert wanted.shown(live, HOST) == {ADMIN_USER_DATA: encoded(OWNER)}


def test_containers_see_what_is_in_force_without_secrets() -> None:
    """A container sees keys, merged, and no secret."""
    ssm = encoded({"ssm": {"activation-id": "i", "activation-code": "secret"}})
    name = "settings.host-containers.control.user-data"
    live = Live({ADMIN_USER_DATA: encoded(OWNER), name: ssm}, (KEY,))
    seen = wanted.shown(live, CONTROL)

    admin = decoded(seen[ADMIN_USER_DATA])
    assert admin["ssh"]["authorized-keys"] == [key_line(9), key_line(1)]
    assert admin["user"] == "ops"
    for value in seen.values():
        assert "secret" not in json.dumps(decoded(value))


def test_environment() -> None:
    """Every container gets the proxy in both spellings, and what needs none of it."""
    live = Live(
        {
            "settings.network.https-proxy": "http://p:3128",
            "settings.network.no-proxy": ["localhost", ".internal"],
            "settings.host-containers.x.enabled": True,
            "settings.host-containers.y.enabled": False,
        }
    )
    without = "localhost,.internal,127.0.0.1"

    for one in wanted.desired(live).values():
        assert one.environment == (
            ("HTTPS_PROXY", "http://p:3128"),
            ("https_proxy", "http://p:3128"),
            ("NO_PROXY", without),
            ("no_proxy", without),
        )


def test_an_empty_proxy_is_none() -> None:
    """A proxy cannot be unset by upstream's API, but it can be empty."""
    live = Live({"settings.network.https-proxy": "", "settings.host-containers.x.enabled": True})

    assert wanted.desired(live)["x"].environment == NO_PROXY


def test_certificates() -> None:
    """Trusted bundles reach every container in order of name, others none."""
    first, second, third = pem(b"\x30\x01a"), pem(b"\x30\x01b"), pem(b"\x30\x01c")
    live = Live(
        {
            "settings.pki.z.data": coded(first),
            "settings.pki.z.trusted": True,
            "settings.pki.a.data": coded(second),
            "settings.pki.a.trusted": True,
            "settings.pki.m.data": coded(third),
            "settings.pki.n.trusted": True,
            "settings.host-containers.x.enabled": True,
        }
    )

    assert wanted.desired(live)["x"].certificates == (second + first).encode()


def test_updates() -> None:
    """The settings of updates are read as they are, and there may be none."""
    live = Live({"settings.updates.seed": 7, "settings.updates.version-lock": "1.2.3"})

    assert wanted.updates(live) == Updates(seed=7, version_lock="1.2.3")
    assert wanted.updates(Live()) == Updates()


def test_containers_see_no_login_of_a_registry() -> None:
    """Passwords, tokens and logins in URLs are redacted for containers, names are not."""
    credentials = "settings.container-registry.credentials"
    mirrors = "settings.container-registry.mirrors"
    url = "settings.updates.metadata-base-url"
    live = Live(
        {
            credentials: [
                {"registry": "r", "username": "u", "password": "hush"},
                {"registry": "s", "auth": "hush", "identitytoken": ""},
                {"registry": "t", "identitytoken": "hush"},
            ],
            mirrors: [{"registry": "r", "endpoint": ["https://u:hush@m/a@b", "m/x@y"]}],
            url: "u:hush@[::1",
        }
    )
    seen = wanted.shown(live, CONTROL)

    assert seen[credentials] == [
        {"registry": "r", "username": "u", "password": "REDACTED"},
        {"registry": "s", "auth": "REDACTED", "identitytoken": ""},
        {"registry": "t", "identitytoken": "REDACTED"},
    ]
    assert seen[mirrors] == [{"registry": "r", "endpoint": ["https://REDACTED@m/a@b", "m/x@y"]}]
    assert seen[url] == "REDACTED"
    assert wanted.shown(live, HOST) == live.settings


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, {"admin", "control"}),
        (["settings.host-containers.admin.enabled"], {"admin"}),
        (["settings.host-containers.gone.enabled"], set()),
        (["settings.motd"], set()),
        (["settings.network.https-proxy"], {"admin", "control"}),
        (["settings.network.no-proxy"], {"admin", "control"}),
        (["settings.network.hostname"], set()),
        (["settings.pki.x.data"], {"admin", "control"}),
        (["settings.container-registry.mirrors"], set()),
        (["settings.container-registry.credentials", "settings.updates.seed"], set()),
        (["settings.motd", "settings.host-containers.control.source"], {"control"}),
        (["settings.unheard-of"], {"admin", "control"}),
    ],
)
def test_affected(names: list[str] | None, expected: set[str]) -> None:
    """A container's own settings concern it alone; proxy and certificates concern all."""
    assert wanted.affected(names, ["admin", "control"]) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("settings.host-containers.admin.enabled", ("host-containers",)),
        ("settings.host-containers", ("host-containers",)),
        ("settings.network.https-proxy", ("host-containers",)),
        ("settings.container-registry.mirrors", ()),
        ("settings.motd", ()),
        ("settings.network", None),
        ("os.arch", None),
    ],
)
def test_affected_services(name: str, expected: tuple[str, ...] | None) -> None:
    """A group of settings has what its table says, below it the same holds."""
    assert wanted.affected_services(name) == expected


def test_registries_are_reached_as_the_settings_say() -> None:
    """Mirrors, credentials, the proxy and the trusted certificates; nothing without them."""
    assert wanted.registries(Live()) == RegistryAccess(no_proxy=("localhost", "127.0.0.1"))
    live = Live(
        {
            "settings.container-registry.mirrors": [
                {"registry": "*", "endpoint": ["https://m.example"]},
                {"endpoint": ["https://nobody.example"]},
            ],
            "settings.container-registry.credentials": [
                {"registry": "r.example", "username": "me", "password": "secret"},
                {"username": "nobody"},
            ],
            "settings.network.https-proxy": "http://p.example:3128",
            "settings.network.no-proxy": ["r.example"],
        }
    )

    assert wanted.registries(live) == RegistryAccess(
        (Mirror("*", ("https://m.example",)),),
        (Credential("r.example", "me", "secret"),),
        "http://p.example:3128",
        ("r.example", "localhost", "127.0.0.1"),
    )
