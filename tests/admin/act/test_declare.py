"""Declarations of actions: what is understood, what is refused, and that a value stays one word."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.act import declare, declared, plan, values
from admin.act.declare import Action
from contract.errors import SheltieError, UsageError

GOOD = """
title = "Restart a unit."
[[parameter]]
name = "unit"
kind = "unit"
help = "which"
[[way]]
program = "systemctl"
when = ["cat", "{unit}"]
steps = [["restart", "--", "{unit}"]]
"""
SIGNAL = """
title = "Kill."
signal = ["how", "who"]
[[parameter]]
name = "who"
kind = "pid"
help = "who"
[[parameter]]
name = "how"
kind = "choice"
choices = ["TERM", "KILL"]
default = "TERM"
help = "how"
"""

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
toml: st.SearchStrategy[str] = st.one_of(
    texts,
    st.builds(lambda cut, more: GOOD[:cut] + more + GOOD[cut:], st.integers(0, len(GOOD)), texts),
    st.permutations(SIGNAL.splitlines()).map("\n".join),
    st.lists(st.sampled_from((GOOD + SIGNAL).splitlines()), max_size=20).map("\n".join),
)


def test_the_shipped_ones() -> None:
    """Six actions, each of which is understood and says what it does."""
    assert declared.names() == [
        "free-images", "kill-pid", "restart-container", "restart-unit", "rotate-logs",
        "support-bundle",
    ]  # fmt: skip
    for name in declared.names():
        assert declared.find(name).title.endswith(".")


@given(toml)
def test_any_text_is_an_action_or_none(text: str) -> None:
    """No text breaks the parser; what it takes is whole."""
    try:
        found = declare.read(text.encode(), "x.toml")
    except UsageError:
        return
    names = {one.name for one in found.parameter}
    words = [words for way in found.way for words in (way.when, *way.steps)]
    assert {name for one in words for name in declare.placeholders(one)} <= names
    assert sum((bool(found.way), found.signal is not None, bool(found.collect))) == 1


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    """Whatever is no UTF-8 or no TOML is one error."""
    with pytest.raises(UsageError) as caught:
        declare.read(data, "x.toml")
    assert (caught.value.code, caught.value.line().count("\n")) == ("ACT_DECLARATION", 0)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('kind = "unit"', 'kind = "path"', "Invalid enum value"),
        ('help = "which"', "", "missing required field"),
        ('help = "which"', 'help = "which"\nshell = true', "unknown field"),
        ('"restart", "--", "{unit}"', '"restart", "--", "{other}"', "{other} is no parameter"),
        ('"{unit}"', '"x"', "parameter unit is not used"),
        ('"restart"', '"{unit"', "has a brace"),
        ('"restart"', '"{un{unit}it}"', "has a brace"),
        ('"restart"', '""', "matching regex"),
        ('"restart"', '"a\\nb"', "matching regex"),
        ('program = "systemctl"', 'program = "/bin/sh"', "matching regex"),
        ('steps = [["restart", "--", "{unit}"]]', "steps = []", "length >= 1"),
        ('title = "Restart a unit."', 'title = "x"\nsignal = ["a", "b"]', "exactly one of"),
        ('title = "Restart a unit."', 'title = "x"\nseconds = 601', "<= 600"),
        ('help = "which"', 'help = "which"\ndefault = "-x"', "must be a unit"),
        ('help = "which"', 'help = "which"\nchoices = ["a"]', "belong to the kind choice"),
        ("[[way]]", '[[parameter]]\nname = "unit"\nkind = "pid"\nhelp = "x"\n[[way]]', "twice"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, why: str) -> None:
    """Each rule refuses the whole declaration, and says why."""
    assert old in GOOD
    with pytest.raises(UsageError, match=why.replace("{", r"\{").replace("}", r"\}")):
        declare.read(GOOD.replace(old, new).encode(), "x.toml")


def test_a_signal_takes_a_choice_and_a_pid() -> None:
    """Their names, in this order."""
    assert declare.read(SIGNAL.encode(), "x.toml").signal == ("how", "who")
    for wrong in ('["who", "how"]', '["how", "other"]'):
        with pytest.raises(UsageError):
            declare.read(SIGNAL.replace('["how", "who"]', wrong).encode(), "x.toml")


@given(
    st.sampled_from(sorted(values.KINDS)),
    st.text(max_size=12) | st.from_regex(r"[-A-Za-z0-9._{}]{1,9}"),
)
def test_a_value_is_one_word_and_no_option(kind: str, text: str) -> None:
    """Nothing that is taken begins like an option, holds a blank or a brace, or is long."""
    try:
        taken = values.check("x", kind, text)
    except UsageError:
        return
    assert taken == text
    assert not taken.startswith("-")
    assert not set(taken) & set(" \t\n\0{}'\"$;|&/")
    assert 0 < len(taken) <= 255


@given(st.from_regex(values.KINDS["unit"][0], fullmatch=True))
def test_words_stay_words(unit: str) -> None:
    """A value changes the words that name it, by itself, and no other."""
    action = declare.read(GOOD.encode(), "x.toml")
    made = plan.judged("x", action, {"unit": unit})
    assert made.steps(action.way[0]) == [["systemctl", "restart", "--", unit]]


@pytest.mark.parametrize("given_", [{}, {"unit": "-x"}, {"unit": "a", "other": "b"}, {"unit": ""}])
def test_values_are_judged(given_: dict[str, str]) -> None:
    """A missing, a wrong and an unknown parameter are each an error."""
    action: Action = declare.read(GOOD.encode(), "x.toml")
    with pytest.raises(SheltieError):
        plan.judged("x", action, given_)


def test_no_path_is_an_action() -> None:
    """A name is a name."""
    wrong: Any
    for wrong in ("../x", "", "kill-pid.toml", "/etc/passwd"):
        with pytest.raises(SheltieError):
            declared.find(wrong)
