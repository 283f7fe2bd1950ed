"""GET /os off Bottlerocket."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host import release

# The expression that semver.org itself suggests.
SEMVER = re.compile(
    r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$"
)


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("1.26.1", "1.26.1"),
        ("13", "13.0.0"),
        ("24.04", "24.4.0"),
        ("41.20250101.3.0", "41.20250101.3"),
        ("3815.2.5-beta.1", "3815.2.5-beta.1"),
        ("", "0.0.0"),
        ("rolling", "0.0.0"),
    ],
)
def test_version(given_: str, expected: str) -> None:
    """Versions of other systems become semantic ones."""
    assert release.os_info({"VERSION_ID": given_}, "x86_64")["version_id"] == expected


@given(st.text(max_size=20) | st.from_regex(r"[0-9.+-]{0,20}"))
def test_always_semver(text: str) -> None:
    """Whatever VERSION_ID holds, clients can parse what we make of it."""
    assert SEMVER.match(release.os_info({"VERSION_ID": text}, "x")["version_id"])


def test_members() -> None:
    """The members are upstream's, and none is empty on a host that says nothing."""
    info = release.os_info({}, "aarch64")

    assert list(info) == ["pretty_name", "variant_id", "version_id", "build_id", "arch"]
    assert all(info.values())
