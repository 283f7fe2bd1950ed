"""What user-data means for the door, whatever stands in it."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.keeper import policy
from admin.keeper.policy import KEYS_BYTES, NOBODY
from admin.ssh.control import Limits
from contract.keyline import parse_plain
from contract.userdata import LIMIT
from tests.admin.keeper.keys import key_line, user_data

RESTRICTED = f'environment="A=b" {key_line(1)}'
CASES = [
    (None, "there is no user-data: nobody can log in"),
    (b"", "user-data is empty: nobody can log in"),
    (b"{", "user-data is not a JSON object: nobody can log in"),
    (b"[]", "user-data is not a JSON object: nobody can log in"),
    (b"\xff\xfe", "user-data is not a JSON object: nobody can log in"),
    (b"{}", "user-data holds no usable key: nobody can log in"),
    (user_data("nonsense"), "user-data holds no usable key: nobody can log in"),
    (user_data(RESTRICTED), "user-data holds no usable key: nobody can log in"),
]

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
lines = st.one_of(
    st.integers(0, 255).map(key_line), st.just(RESTRICTED), st.text(max_size=60), values
)
sections = st.fixed_dictionaries(
    {},
    optional={
        "authorized-keys": st.lists(lines, max_size=4) | values,
        "authorized_keys": st.lists(lines, max_size=4),
        "ciphers": values,
    },
)
documents = st.one_of(
    values,
    st.fixed_dictionaries(
        {},
        optional={
            "user": values,
            "password-hash": values,
            "ssh": sections | values,
            "sheltie": values | st.fixed_dictionaries({"listen": values}),
        },
    ),
)


@pytest.mark.parametrize(("raw", "problem"), CASES)
def test_what_lets_nobody_in_is_said_once(raw: bytes | None, problem: str) -> None:
    """Each way to have no key has its sentence."""
    judged = policy.read(raw)

    assert judged.keys == ()
    assert [one for one in judged.problems if NOBODY in one] == [problem]


@given(documents.map(lambda one: json.dumps(one).encode()) | st.binary(max_size=200) | st.none())
def test_any_user_data_is_judged(raw: bytes | None) -> None:
    """Nothing raises, keys are usable, and without one a sentence says so."""
    judged = policy.read(raw)

    assert [parse_plain(key.text) for key in judged.keys] == list(judged.keys)
    assert bool(judged.keys) != any(one.endswith(NOBODY) for one in judged.problems)
    assert all(problem.isprintable() for problem in judged.problems)


@given(st.lists(st.integers(0, 255), unique=True, min_size=1, max_size=5), st.text(max_size=30))
def test_one_bad_line_shuts_out_nobody_else(numbers: list[int], bad: str) -> None:
    """The good keys count beside a bad one, in their order, and the bad one is named."""
    good = [key_line(number) for number in numbers]
    judged = policy.read(user_data(*good[:1], bad, RESTRICTED, *good[1:]))

    assert [key.text for key in judged.keys] == good
    assert len(judged.problems) == 2


def test_a_name_cannot_play_the_sentence() -> None:
    """An unknown key that is called like the sentence does not stand for it."""
    judged = policy.read(json.dumps({NOBODY: 1}).encode())

    assert judged.problems[-1] == f"user-data holds no usable key: {NOBODY}"


@pytest.mark.parametrize(
    ("text", "listen"),
    [("127.0.0.1:2222", ("127.0.0.1", 2222)), ("[::1]:0", ("::1", 0)), (":22", ("", 22))],
)
def test_listen(text: str, listen: tuple[str, int]) -> None:
    """The address of user-data is the door's."""
    judged = policy.read(json.dumps({"sheltie": {"listen": text}}).encode())

    assert judged.listen == listen


@pytest.mark.parametrize(
    ("told", "places"),
    [
        ({"reached-at": "198.51.100.7:4022"}, (("198.51.100.7", 4022),)),
        ({"reached-at": "door.example:22"}, ()),
        ({}, ()),
    ],
)
def test_where_operators_come(told: dict[str, str], places: tuple[tuple[str, int], ...]) -> None:
    """A forwarded or translated address is told on; one that is none is a problem."""
    judged = policy.read(json.dumps({"sheltie": told}).encode())

    assert judged.reached_at == places
    assert any("sheltie.reached-at" in problem for problem in judged.problems) is bool(
        told and not places
    )


def test_a_bad_address_is_a_problem_and_leaves_it_open() -> None:
    """An unusable address is named, and the usual one is left to count."""
    raw = json.dumps({"ssh": {"authorized-keys": [key_line(1)]}, "sheltie": {"listen": "door:22"}})
    judged = policy.read(raw.encode())

    assert (len(judged.keys), judged.listen) == (1, None)
    assert "sheltie.listen" in judged.problems[0]


def test_options_go_with_their_line() -> None:
    """What a key line restricts reaches the monitor as it stands."""
    line = f'from="10.0.0.0/8",no-pty {key_line(1)}'
    judged = policy.read(user_data(line))

    assert judged.lines == (line,)
    assert judged.asked(usable=True)["keys"] == [line]
    assert judged.asked(usable=False) == {"keys": []}


def test_what_the_monitor_is_told() -> None:
    """CAs, the command, Instance Connect, algorithms and limits, in the monitor's names."""
    document = {
        "ssh": {
            "trusted_user_ca_keys": [key_line(2)],
            "authorized-keys-command": "/bin/x %u",
            "authorized_keys_command_user": "x",
            "ciphers": ["+aes128-ctr"],
        },
        "sheltie": {
            "ssh-profile": "strict",
            "ec2-instance-connect": True,
            "ssh-limits": {"max-sessions": 3, "exempt": ["10.0.0.0/8"]},
        },
    }
    judged = policy.read(json.dumps(document).encode())
    asked = judged.asked(usable=True)

    assert judged.problems == ()
    assert asked["authorities"] == [key_line(2)]
    assert (asked["keys_command"], asked["keys_command_user"]) == ("/bin/x %u", "x")
    assert asked["instance_connect"]
    assert (judged.algorithms().profile, judged.algorithms().ciphers) == ("strict", ["+aes128-ctr"])
    assert (judged.limits().sessions, judged.limits().exempt) == (3, ["10.0.0.0/8"])


@pytest.mark.parametrize(
    ("sheltie", "words"),
    [
        ({"ssh-limits": {"max-sessions": 0}}, "must be a number from 1"),
        ({"ssh-limits": {"max-sessions": "3"}}, "must be a number"),
        ({"ssh-limits": {"max-sessions": True}}, "must be a number"),
        ({"ssh-limits": {"max-nonsense": 3}}, "unknown key"),
        ({"ssh-limits": [3]}, "must be an object"),
        ({"ssh-limits": {"exempt": "10.0.0.0/8"}}, "list of strings"),
        ({"ec2-instance-connect": "yes"}, "true or false"),
        ({"ssh-profile": 1}, "must be a string"),
        ({"nonsense": 1}, "unknown key"),
    ],
)
def test_an_unusable_wish_is_named_and_the_default_counts(
    sheltie: dict[str, object], words: str
) -> None:
    """The door opens as if it did not stand there."""
    raw = json.dumps({"ssh": {"authorized-keys": [key_line(1)]}, "sheltie": sheltie})
    judged = policy.read(raw.encode())

    assert words in judged.problems[0]
    assert judged.limits() == Limits()
    assert len(judged.keys) == 1


def test_as_many_keys_as_user_data_holds_are_judged_at_once() -> None:
    """Keys beyond the room for them are left out, counted, and cost no time."""
    count = (LIMIT - 100) // (len(key_line(0, "k")) + 4)
    raw = user_data(*(key_line(number, "k") for number in range(count)))
    assert len(raw) <= LIMIT
    begun = time.process_time()
    judged = policy.read(raw)

    assert time.process_time() - begun < 5
    room = sum(len(key.text) for key in judged.keys)
    assert KEYS_BYTES - 200 < room <= KEYS_BYTES
    assert judged.problems == (
        f"there is no room for so many keys: {count - len(judged.keys)} at the end are ignored",
    )
