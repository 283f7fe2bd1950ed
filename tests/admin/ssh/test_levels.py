"""Which level a login has: never more than user-data means, whatever is odd about it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.keeper import policy as keeper
from admin.ssh import setting
from admin.ssh.control import Configure
from admin.ssh.policy import Admission
from contract.errors import SheltieError
from contract.keyline import parse
from tests.admin.keeper.keys import key_line
from tests.admin.ssh.ca import Authority, blob
from tests.admin.ssh.door import make_key

NOW = 1_800_000_000.0


def judged(
    sheltie: dict[str, Any], *authorized: str, authorities: list[str] | None = None
) -> setting.Setting:
    """Return what the monitor makes of user-data."""
    ssh = {"authorized-keys": authorized, "trusted-user-ca-keys": authorities or []}
    read = keeper.read(json.dumps({"ssh": ssh, "sheltie": sheltie}).encode())
    return setting.read(Configure("root", listen=[], host_keys="", **read.asked(usable=True)))


def admitted(found: setting.Setting, key: bytes) -> Admission:
    """Return the admission of a key."""
    return found.policy.admit("root", key, "192.0.2.1", NOW)


@pytest.mark.parametrize(
    ("sheltie", "look"),
    [
        ({}, False),
        ({"access": "root"}, False),
        ({"access": "look"}, True),
        ({"access": "rooot"}, True),
        ({"access": None}, True),
        ({"look-keys": [key_line(2)]}, False),
        ({"look_keys": [key_line(1)]}, True),
        ({"look-keys": [f'command="x" {key_line(1, "other comment")}']}, True),
        ({"look-keys": [f"no-such-option {key_line(1)}"]}, True),
        ({"look-keys": key_line(1)}, True),
        ({"look-keys": {}}, True),
        ({"look-keys": [1]}, True),
        ({"look-keys": [key_line(number) for number in range(9, 1400)]}, True),
    ],
)
def test_the_level_of_an_authorized_key(sheltie: dict[str, Any], look: bool) -> None:
    """Root by default; look by the level, by the list, and by whatever is not understood."""
    found = admitted(judged(sheltie, key_line(1)), blob(key_line(1)))
    assert found.look == look
    assert (found.options.port_forwarding, found.options.agent_forwarding) == (not look, not look)


def test_a_look_key_lets_in_by_itself() -> None:
    """It need not be authorized as well; with an option that is not known it does not."""
    assert admitted(judged({"look-keys": [key_line(1)]}), blob(key_line(1))).look
    with pytest.raises(SheltieError):
        admitted(judged({"look-keys": [f"no-such-option {key_line(1)}"]}), blob(key_line(1)))


def test_the_level_of_a_certificate(tmp_path: Path) -> None:
    """A CA in the list, or the certified key, makes the login a look, however it is trusted."""
    authority = Authority(tmp_path)
    identity, line = make_key(tmp_path, "user")
    certificate = blob(authority.certify(identity))
    trusted = [authority.key]
    assert not admitted(judged({}, authorities=trusted), certificate).look
    for section in ([f"cert-authority {authority.key}"], [authority.key], [line]):
        assert admitted(judged({"look-keys": section}, authorities=trusted), certificate).look
    alone = {"look-keys": [f"cert-authority {authority.key}"]}
    assert admitted(judged(alone), certificate).look


@given(st.lists(st.sampled_from([{}, {"access": "look"}, {"look-keys": [key_line(1)]},
                                 {"access": "root"}, {"look-keys": []}]), min_size=1))  # fmt: skip
def test_it_only_narrows(sections: list[dict[str, Any]]) -> None:
    """However policy changes under a login, it never gets more again."""
    found = admitted(judged(sections[0], key_line(1)), blob(key_line(1)))
    for section in sections:
        looked, found = found.look, judged(section, key_line(1)).policy.narrowed(found)
        assert found.look >= looked
        assert found.look >= judged(section, key_line(1)).policy.narrowed(Admission(
            parse(key_line(1)), found.options)).look  # fmt: skip


def test_status_names_the_level() -> None:
    """The keeper knows which of the keys only look."""
    read = keeper.read(json.dumps({"ssh": {"authorized-keys": [key_line(1), key_line(2)]},
                                   "sheltie": {"look-keys": [key_line(2)]}}).encode())  # fmt: skip
    assert read.looking == {parse(key_line(2)).fingerprint}
    assert {key.fingerprint for key in read.keys} == {
        parse(key_line(number)).fingerprint for number in (1, 2)
    }
