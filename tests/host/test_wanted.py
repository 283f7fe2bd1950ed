"""What the live state means for the supervisor and for each caller."""

import json

import pytest

from host import wanted
from host.callers import ADMIN_ENABLED, ADMIN_USER_DATA, HOST, Caller
from host.desired import Desired
from host.store.state import Handed, Live
from tests.host.keys import decoded, encoded, key_line

CONTROL = Caller("control")
KEY = Handed(key_line(1), "control", 0, "now")
OWNER = {"user": "ops", "password-hash": "$y$secret", "ssh": {"authorized-keys": [key_line(9)]}}


def test_defaults() -> None:
    """A container of which only the name is known is off and has no powers."""
    live = Live({"settings.host-containers.x.source": "oci:/x"})

    assert wanted.desired(live) == {"x": Desired("x", source="oci:/x")}


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


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, {"admin", "control"}),
        (["settings.host-containers.admin.enabled"], {"admin"}),
        (["settings.host-containers.gone.enabled"], set()),
        (["settings.motd"], set()),
        (["settings.network.https-proxy"], {"admin", "control"}),
    ],
)
def test_affected(names: list[str] | None, expected: set[str]) -> None:
    """A container's own settings concern it alone; settings elsewhere concern all."""
    assert wanted.affected(names, ["admin", "control"]) == expected
