"""Log lines: one event is one line, whatever a peer puts into it."""

import json
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.keeper.log import VALUE_MAX, event

FIELD = re.compile(r' ([a-z]+)=("(?:[^"\\]|\\.)*"|[^ "=]+)')


def parsed(line: str) -> dict[str, str]:
    """Read a line back, as whoever searches the log does; every byte must belong to a field."""
    assert line.startswith("event")
    fields = FIELD.findall(line)
    assert line == "event" + "".join(f" {key}={value}" for key, value in fields)
    return {key: json.loads(value) if value[0] == '"' else value for key, value in fields}


@given(st.text(max_size=60), st.text(max_size=60))
def test_values_come_back_and_forge_nothing(one: str, two: str) -> None:
    """Newlines, quotes, blanks, equals signs and lone surrogates stay within their value."""
    line = event("event", one=one, two=two)

    assert line.isascii()
    assert line.isprintable()
    assert parsed(line) == {key: value for key, value in (("one", one), ("two", two)) if value}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("127.0.0.1:22", "127.0.0.1:22"),
        ("a b", '"a b"'),
        ("x\nCRITICAL login user=root", '"x\\nCRITICAL login user=root"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("\x1b[2J", '"\\u001b[2J"'),
        ("plain\n", '"plain\\n"'),
        (0, "0"),
    ],
)
def test_how_values_are_written(value: object, shown: str) -> None:
    """Plain words as they are, all else as JSON."""
    assert event("event", key=value) == f"event key={shown}"


def test_empty_fields_are_left_out() -> None:
    """A field without a value says nothing."""
    assert event("event", one="", two=None, three="x") == "event three=x"


def test_long_values_are_cut() -> None:
    """A peer cannot fill the log with one value."""
    assert len(event("event", key="x" * 100_000)) < VALUE_MAX + 30


def test_the_log_goes_to_stderr_with_its_level() -> None:
    """Percent signs and braces of a peer are no format."""
    code = (
        "import logging; from admin.keeper.log import event, set_up; set_up();"
        "logging.getLogger('admin').warning(event('event', peer='%s%d{x}'))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )

    assert (done.stdout, done.stderr) == ("", 'WARNING event peer="%s%d{x}"\n')
