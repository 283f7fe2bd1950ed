"""Sources: which places on disk they name, and which are refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import UsageError
from host.image.reference import Reference, parse


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("oci:/images/a", Reference("oci", Path("/images/a"))),
        ("oci:/images/a:latest", Reference("oci", Path("/images/a"), "latest")),
        ("oci:/a:b/c", Reference("oci", Path("/a:b/c"))),
        ("oci:/a:b/c:v1", Reference("oci", Path("/a:b/c"), "v1")),
        ("oci-archive:/a.tar:v1", Reference("oci-archive", Path("/a.tar"), "v1")),
        ("oci:/a:", Reference("oci", Path("/a"))),
    ],
)
def test_what_a_source_names(source: str, expected: Reference) -> None:
    """Paths may hold colons; a tag follows the last one."""
    assert parse(source) == expected


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (None, "no image source"),
        ("", "no image source"),
        ("docker://registry/admin:1", "later"),
        ("registry/admin:1", "later"),
        ("oci:relative/path", "not absolute"),
        ("oci:", "not absolute"),
    ],
)
def test_what_is_refused(source: str | None, words: str) -> None:
    """Everything else is refused with a hint."""
    with pytest.raises(UsageError, match=words) as caught:
        parse(source)
    assert caught.value.hint


@given(st.text())
def test_any_text_gives_a_reference_or_an_error(text: str) -> None:
    """Nothing else comes out, and what comes out is absolute."""
    try:
        found = parse(text)
    except UsageError:
        return
    assert found.path.is_absolute()
