"""Events: stable codes, bounded texts, and a record that is read back as it was written."""

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import chain, event
from contract.event import Entry, Event, ExecStarted, Refused, Who

WHO = Who("control", 1000, 274, 7)
CODES = {
    "act.started",
    "acted",
    "audit.damaged",
    "audit.dropped",
    "audit.repaired",
    "audit.resumed",
    "called",
    "container.adopted",
    "container.failed",
    "container.started",
    "container.stopped",
    "daemon.ended",
    "daemon.started",
    "door.closed",
    "door.opened",
    "exec.ended",
    "exec.started",
    "host.changed",
    "host.touched",
    "host.verified",
    "image.corrupted",
    "image.failed",
    "image.pulled",
    "image.ready",
    "image.removed",
    "reboot.deferred",
    "refused",
    "session.ended",
    "session.started",
    "settings.changed",
    "settings.found",
    "settings.recovered",
    "update.ended",
    "update.failed",
}


def test_codes_are_stable() -> None:
    """Whoever reads an audit knows these codes; a new one is added, none is ever renamed."""
    assert {kind.__struct_config__.tag for kind in get_args(Event)} == CODES


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=3000), max_size=60))
def test_read_back(words: list[str]) -> None:
    """An event survives the chain, and whatever others chose fits a line."""
    known = event.entry(ExecStarted(WHO, "admin", event.shortened(words), tty=True))
    line, _ = chain.link(chain.GENESIS, msgspec.to_builtins(known))

    assert msgspec.convert(chain.read(line).record, Entry) == known


@pytest.mark.parametrize("word", ["\0" * 2000, "\U0001f600" * 2000, '"' * 2000])
def test_the_worst_words_fit(word: str) -> None:
    """The longest list of the longest encodings is still one line."""
    known = event.entry(ExecStarted(WHO, "admin", event.shortened([word] * 5000)))
    line, _ = chain.link(chain.GENESIS, msgspec.to_builtins(known))

    assert len(line) < chain.LINE_MAX


def test_what_is_cut_is_said() -> None:
    """A cut is never silent."""
    assert event.cut("x" * 1001) == "x" * 1000 + "… (1001 characters)"
    assert event.shortened(["a"] * 1030)[-1] == "… (6 more)"
    assert event.shortened(["a", "b"]) == ["a", "b"]


def test_on_the_wire() -> None:
    """The code stands beside the event's own members, and what is not so is left out."""
    data = msgspec.to_builtins(Refused(WHO, "GET /x", "no", "CALLER_REFUSED"))

    assert data == {
        "code": "refused",
        "who": {"caller": "control", "uid": 1000, "gid": 274, "pid": 7},
        "what": "GET /x",
        "why": "no",
        "error": "CALLER_REFUSED",
    }
