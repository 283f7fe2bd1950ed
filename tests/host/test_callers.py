"""The callers' table, cell by cell."""

import base64
from typing import Any

import pytest

from contract.errors import RefusedError, UsageError
from host import callers
from host.callers import HOST, Caller
from tests.host.keys import encoded, key_line, keys

CALLERS = {"host": HOST, "control": Caller("control"), "admin": Caller("admin")}
CALLERS["other"] = Caller("other")

A = "settings.host-containers.admin."
WRITES: list[tuple[str, Any, set[str]]] = [
    (A + "enabled", True, {"host", "control"}),
    (A + "enabled", False, {"host", "control", "admin"}),
    (A + "user-data", keys(1), {"host", "control"}),
    (A + "user-data", encoded({"ssh": {"authorized_keys": [key_line(1)]}}), {"host", "control"}),
    (A + "user-data", "", {"host"}),
    (A + "user-data", base64.b64encode(b"no json").decode(), {"host"}),
    (A + "user-data", encoded({"user": "x", "ssh": {"authorized-keys": []}}), {"host"}),
    (A + "user-data", encoded({"password-hash": "x"}), {"host"}),
    (A + "user-data", encoded({"ssh": {"trusted-user-ca-keys": ["x"]}}), {"host"}),
    (A + "user-data", encoded({"ssh": {"authorized-keys-command": "x"}}), {"host"}),
    (
        A + "user-data",
        encoded({"ssh": {"authorized-keys": ['command="x" ' + key_line(1)]}}),
        {"host"},
    ),
    (A + "user-data", encoded({"sheltie": {"listen": ":2"}}), {"host"}),
    (A + "source", "oci:/x", {"host"}),
    (A + "superpowered", True, {"host"}),
    (A + "superpowered", False, {"host"}),
    (A + "command", ["sh"], {"host"}),
    ("settings.motd", "x", {"host"}),
    ("settings.host-containers.control.enabled", False, {"host"}),
    ("settings.host-containers.control.user-data", keys(1), {"host"}),
    ("settings.host-containers.control.superpowered", True, {"host"}),
    ("settings.host-containers.other.enabled", True, {"host"}),
    ("settings.host-containers.new.source", "oci:/x", {"host"}),
]


def allowed(check: Any, *arguments: Any, **more: Any) -> bool:
    """Return whether the check lets it pass; a refusal is one line and nothing else is raised."""
    try:
        check(*arguments, **more)
    except RefusedError as error:
        line = error.message
    else:
        return True
    assert line
    assert "\n" not in line
    return False


@pytest.mark.parametrize(
    ("name", "value", "may"),
    WRITES,
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value)[-40:],
)
@pytest.mark.parametrize("who", CALLERS)
def test_writes(who: str, name: str, value: Any, may: set[str]) -> None:
    """Each setting may be written by those whom the table names, and by nobody else."""
    assert allowed(callers.check_write, CALLERS[who], {name: value}) == (who in may)


@pytest.mark.parametrize("who", ["control", "admin"])
def test_one_bad_value_spoils_the_write(who: str) -> None:
    """What is allowed does not carry along what is not."""
    values = {A + "enabled": False, "settings.motd": "x"}

    assert not allowed(callers.check_write, CALLERS[who], values)


EXECS = [
    ("host", {"host"}, {"host"}),
    ("control", {"host", "control"}, {"host", "control"}),
    ("admin", {"host"}, {"host", "control"}),
    ("other", {"host"}, {"host"}),
    ("", {"host"}, {"host"}),
    (None, {"host", "control"}, {"host", "control"}),
]


@pytest.mark.parametrize(("target", "off", "on"), EXECS)
@pytest.mark.parametrize("who", CALLERS)
def test_execs(who: str, target: str | None, off: set[str], on: set[str]) -> None:
    """Control may exec into itself, and into admin while that is enabled; others nowhere."""
    check = callers.check_exec

    assert allowed(check, CALLERS[who], target, admin_enabled=False) == (who in off)
    assert allowed(check, CALLERS[who], target, admin_enabled=True) == (who in on)


APPLIES: list[tuple[list[str] | None, set[str]]] = [
    (None, {"host"}),
    (["settings.motd"], {"host"}),
    ([A + "enabled"], {"host", "control", "admin"}),
    ([A + "enabled", A + "user-data"], {"host", "control"}),
    ([A + "source"], {"host"}),
    ([], {"host", "control", "admin"}),
]


@pytest.mark.parametrize(("names", "may"), APPLIES)
@pytest.mark.parametrize("who", CALLERS)
def test_applies(who: str, names: list[str] | None, may: set[str]) -> None:
    """A container applies no more than it may write: not what the owner has yet to apply."""
    assert allowed(callers.check_apply, CALLERS[who], names) == (who in may)


def test_changes() -> None:
    """Whoever may change nothing is refused before anything is looked at."""
    assert [who for who in CALLERS if allowed(callers.check_changes, CALLERS[who])] == [
        "host",
        "control",
        "admin",
    ]


def test_no_container_passes_for_the_host() -> None:
    """The host's label is no container's name."""
    with pytest.raises(UsageError, match="reserved"):
        callers.check_name(HOST.label)
    callers.check_name("hosts")
