"""Sources: which places and names they mean, and which are refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import UsageError
from host.image.name import Name
from host.image.reference import Reference, parse

D = f"sha256:{'0a' * 32}"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("oci:/images/a", Reference("oci", Path("/images/a"))),
        ("oci:/images/a:latest", Reference("oci", Path("/images/a"), "latest")),
        ("oci:/a:b/c", Reference("oci", Path("/a:b/c"))),
        ("oci:/a:b/c:v1", Reference("oci", Path("/a:b/c"), "v1")),
        ("oci-archive:/a.tar:v1", Reference("oci-archive", Path("/a.tar"), "v1")),
        ("oci:/a:", Reference("oci", Path("/a"))),
        ("docker-archive:/a.tar", Reference("docker-archive", Path("/a.tar"))),
        (
            "docker-archive:/a.tar:localhost/admin:v1",
            Reference("docker-archive", Path("/a.tar"), "localhost/admin:v1"),
        ),
    ],
)
def test_what_a_source_names(source: str, expected: Reference) -> None:
    """Paths may hold colons; a tag follows the last one."""
    assert parse(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("docker://registry.example/admin:1", Name("registry.example", "admin", "1")),
        ("registry.example/a/admin:1", Name("registry.example", "a/admin", "1")),
        ("localhost/admin", Name("localhost", "admin", "latest")),
        ("[::1]:5000/admin", Name("[::1]:5000", "admin", "latest")),
        ("127.0.0.1:5000/admin:v1", Name("127.0.0.1:5000", "admin", "v1")),
        (f"registry.example/admin@{D}", Name("registry.example", "admin", digest=D)),
        (f"registry.example/admin:1@{D}", Name("registry.example", "admin", digest=D)),
        ("admin:1", Name("docker.io", "library/admin", "1")),
        ("index.docker.io/a/admin", Name("docker.io", "a/admin", "latest")),
    ],
)
def test_what_a_name_means(source: str, expected: Name) -> None:
    """What is left out is filled in as docker has it; a digest makes the tag idle."""
    assert parse(source) == expected


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (None, "no image source"),
        ("", "no image source"),
        ("docker-daemon:admin:1", "none of our transports"),
        ("containers-storage:admin:1", "none of our transports"),
        ("https://registry.example/admin", "none of our transports"),
        ("registry.example/Admin:1", "path"),
        ("registry.example/admin:-1", "tag"),
        ("registry.example/admin@sha256:12", "digest"),
        ("registry.example:port/admin", "registry"),
        ("docker-archive:relative.tar", "not absolute"),
        ("oci:relative/path", "not absolute"),
        ("oci:", "not absolute"),
    ],
)
def test_what_is_refused(source: str | None, words: str) -> None:
    """Everything else is refused with a hint."""
    with pytest.raises(UsageError, match=words) as caught:
        parse(source)
    assert caught.value.hint


@given(st.text() | st.from_regex(r"[a-z:./@\[\]A-Z0-9_-]*", fullmatch=True))
def test_any_text_gives_a_reference_or_an_error(text: str) -> None:
    """Nothing else comes out; what comes out is absolute, or means the same when read again."""
    try:
        found = parse(text)
    except UsageError:
        return
    if isinstance(found, Name):
        assert parse(str(found)) == found
    else:
        assert found.path.is_absolute()
