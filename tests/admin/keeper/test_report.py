"""The door's state as a reply holds it."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.keeper import policy
from admin.keeper.report import Report
from contract.errors import UnavailableError
from contract.keyline import parse_plain
from contract.rpc import KEYS_MAX, LINE_MAX, Reply, SessionShown, decode_reply, encode
from tests.admin.keeper.keys import key_line, user_data

KEY = parse_plain(key_line(1))
OPEN = Report(
    "op", since="2026-01-01T00:00:00Z", keys=(KEY,), listen=(("127.0.0.1", 22),), trouble=""
)
SESSION = SessionShown(
    "0123abcd", "a" * 32, "2026-01-01T00:00:00+00:00",
    "[2001:db8:1111:2222:3333:4444:5555:6666]:65535", KEY.fingerprint,
)  # fmt: skip
# Each takes more bytes in a line than it has characters.
ODD = st.text(st.sampled_from(list('"\\\x00\x1bé€😀')), min_size=300, max_size=400)


@pytest.mark.parametrize(
    ("change", "ready"),
    [
        ({}, True),
        ({"keys": ()}, False),
        ({"usable": False}, False),
        ({"trouble": "port taken"}, False),
    ],
)
def test_ready_is_that_somebody_may_log_in(change: dict[str, object], ready: bool) -> None:
    """A server that answers, a key, and a usable account: all three."""
    assert replace(OPEN, **change).status().ready is ready  # type: ignore[arg-type]  # a table


def test_the_trouble_comes_first() -> None:
    """Why nobody can connect stands before what is wrong with user-data."""
    shown = replace(OPEN, trouble="port taken", problems=("bad key",)).status()

    assert shown.problems == ["port taken", "bad key"]


def test_host_keys_before_they_are() -> None:
    """Before the first start there are no host keys, and the reason is told."""
    with pytest.raises(UnavailableError, match="no host keys yet: the SSH server is starting"):
        Report("op").host_keys_shown()


def test_host_keys() -> None:
    """The host keys come with the addresses and the user."""
    shown = replace(OPEN, host_keys=("ssh-ed25519 AAAA",)).host_keys_shown()

    assert (shown.keys, shown.listen, shown.user) == (
        ["ssh-ed25519 AAAA"], [("127.0.0.1", 22)], "op"
    )  # fmt: skip


@given(st.lists(ODD, min_size=1, max_size=3), ODD.map(lambda text: text.replace("\x00", "")))
def test_a_reply_is_one_line_whatever_there_is(problems: list[str], comment: str) -> None:
    """Two thousand keys, problems and sessions of the oddest text fit into a line."""
    keys = tuple(replace(KEY, comment=f"{number} {comment}") for number in range(2000))
    report = replace(OPEN, keys=keys, problems=tuple(problems * 700), trouble=problems[0])
    status = report.status([replace_id(SESSION, number) for number in range(2000)])
    line = encode(Reply(1 << 62, status))

    assert len(line) <= LINE_MAX
    assert line.count(b"\n") == 1
    assert decode_reply(line).id == 1 << 62
    assert len(status.keys) == KEYS_MAX
    assert len(status.sessions) > 50
    assert len(status.problems) > 20


def replace_id(session: SessionShown, number: int) -> SessionShown:
    """Return a session of another name."""
    return msgspec.structs.replace(session, id=f"{number:08x}")


def test_real_user_data_of_two_thousand_keys() -> None:
    """The largest comments that a key line may have are cut, and what is left out is counted."""
    judged = policy.read(user_data(*(key_line(one, "😀" * 100) for one in range(1900))))
    status = replace(OPEN, keys=judged.keys, problems=judged.problems).status()

    assert len(encode(Reply(1, status))) <= LINE_MAX
    assert status.keys[0].fingerprint == judged.keys[0].fingerprint
    assert status.keys[0].comment.startswith("😀")
    assert status.keys[0].comment.endswith("…")


def test_short_text_is_left_alone() -> None:
    """What fits is not cut, and no count is added."""
    problems = tuple(f"problem {number}" for number in range(10))

    assert replace(OPEN, problems=problems).status().problems == list(problems)


def test_what_is_left_out_is_counted() -> None:
    """A line says how many problems are not shown."""
    problems = tuple(f"problem {number}" for number in range(1000))
    shown = replace(OPEN, problems=problems).status().problems

    assert shown[-1] == f"… and {1000 - (len(shown) - 1)} more"


def test_what_went_wrong_is_told_once_each_and_bounded() -> None:
    """With the time of the last one; the newest stay."""
    report = Report(user="op", trouble="")
    for number in range(20):
        report = report.troubled(f"thing {number}", "T1")
        report = report.troubled("the same", f"T{number}")

    assert report.happened[-1] == "the same (last at T19)"
    assert report.happened[0] == "thing 16 (last at T1)"
    assert len(report.status().problems) == 5
