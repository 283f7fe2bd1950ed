"""What a client's line means where it may only look."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.sheltie.login import judge
from admin.sheltie.options import Options
from contract.errors import RefusedError, SheltieError

WORDS = [
    *("sheltie", "--look", "--look-secrets", "--tools", "--target", "1", "--pod", "--no-net"),
    *("get", "put", "netstat", "act", "-", "--", "/etc/x", "--shell=bash", "'", '"', "--help"),
]
lines = st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=6).map(" ".join)


@given(lines)
def test_whatever_is_asked_for_is_a_look(line: str) -> None:
    """No line leads to more than a look, a report or a page of help."""
    try:
        asked = judge(line)
    except SheltieError:
        return
    assert asked.look == "look"
    assert (asked.target, asked.pod, asked.tools, asked.copy, asked.left_out) == (
        0, "", False, False, frozenset(),
    )  # fmt: skip
    assert not (asked.script and asked.command)


@pytest.mark.parametrize(
    ("line", "script", "command", "report"),
    [
        ("", "", [], False),
        ("cat /etc/hostname | wc", "cat /etc/hostname | wc", [], False),
        ("sheltied x", "sheltied x", [], False),
        ("'sheltie' netstat", "'sheltie' netstat", [], False),
        ("sheltie", "", [], False),
        ("  sheltie  netstat --json", "", ["netstat", "--json"], True),
        ("sheltie logs 'a b'", "", ["logs", "a b"], True),
        ("sheltie -- netstat", "", ["netstat"], False),
        ("sheltie --look cat x", "", ["cat", "x"], False),
    ],
)
def test_lines(line: str, script: str, command: list[str], report: bool) -> None:
    """Only the plain word `sheltie` in front is ours."""
    asked: Options = judge(line)
    assert (asked.script, asked.command, asked.report) == (script, command, report)


def test_a_line_breaks_no_word_out() -> None:
    """Nothing behind `sheltie` goes to a shell."""
    assert judge("sheltie netstat ; id").command == ["netstat", ";", "id"]
    with pytest.raises(RefusedError):
        judge("sheltie --look-secrets")
