"""Names of settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import UsageError
from host.store import key

segments = st.text(
    st.characters(exclude_characters='"', exclude_categories=["C", "Z"]), min_size=1, max_size=12
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a", ("a",)),
        ("settings.host-containers.admin.enabled", None),
        ('a."b.c".d', ("a", "b.c", "d")),
        ('"a".b', ("a", "b")),
        ("a/b.c_d", ("a/b", "c_d")),
    ],
)
def test_split(name: str, expected: tuple[str, ...] | None) -> None:
    """A dot parts segments unless it is quoted."""
    assert key.split(name) == (expected or tuple(name.split(".")))


@pytest.mark.parametrize(
    "name", ["", ".", "a.", ".a", "a..b", 'a."b', 'a.""', "a b", "ä", "a" * 256]
)
def test_bad_names(name: str) -> None:
    """An empty segment, an unknown character, an open quote: refused."""
    with pytest.raises(UsageError):
        key.split(name)


@given(st.lists(segments, min_size=1, max_size=5))
def test_round_trip(parts: list[str]) -> None:
    """What is joined splits into the same segments, whatever they hold."""
    assert key.split(key.join(parts)) == tuple(parts)


@given(st.text(max_size=40))
def test_any_text(text: str) -> None:
    """Any text is a name with a canonical form, or a UsageError."""
    try:
        parts = key.split(text)
    except UsageError:
        return
    assert key.split(key.join(parts)) == parts
