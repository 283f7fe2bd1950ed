"""Nested documents and flat names."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import UsageError
from host.store import tree

names = st.text("abc-_.", min_size=1, max_size=4)
leaves = st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=3)
documents = st.dictionaries(
    names,
    st.recursive(
        leaves, lambda inner: st.dictionaries(names, inner, min_size=1, max_size=3), max_leaves=6
    ),
    max_size=4,
)


@given(documents)
def test_round_trip(document: dict[str, Any]) -> None:
    """Flattening and nesting give the document back."""
    assert tree.nest(tree.flatten(document)) == document


def test_null_is_absent() -> None:
    """A null is as good as nothing: it never deletes."""
    assert tree.flatten({"a": None, "b": {"c": None}, "d": {}}) == {}


def test_prefix_reaches_into_a_segment() -> None:
    """A prefix is one of the text, not of whole segments; names choose exactly."""
    flat = {"settings.motd": 1, "settings.host-containers.admin.enabled": True}

    assert tree.by_prefix(flat, "settings.mo") == {"settings.motd": 1}
    assert tree.by_prefix(flat, "se") == flat
    assert tree.by_names(flat, ["settings.motd", "settings", "motd"]) == {"settings.motd": 1}


@pytest.mark.parametrize(
    "flat",
    [{"settings": 1}, {"settings.a": 1, "settings.a.b": 2}, {"settings.a.b": 2, "settings.a": 1}],
)
def test_no_document(flat: dict[str, Any]) -> None:
    """A name that is both a value and a group has no document."""
    with pytest.raises(UsageError):
        tree.nest(flat)
