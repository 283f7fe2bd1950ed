"""Names of UKIs, and what they say to the loader."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.update.names import Uki, order, version_key

NUMBERS = st.lists(st.integers(0, 10**9 - 1), min_size=3, max_size=3)
VERSIONS = NUMBERS.map(lambda numbers: ".".join(map(str, numbers)))
UKIS = st.builds(
    lambda name, version, left, done: Uki(name, version, left, 0 if left is None else done),
    st.from_regex(r"\A[A-Za-z0-9-]{1,20}\Z"),
    VERSIONS,
    st.none() | st.integers(0, 99),
    st.integers(0, 99),
)


@given(UKIS)
def test_there_and_back(uki: Uki) -> None:
    """A name says what it was made of."""
    assert Uki.parse(uki.file) == uki


@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    """What is no such name is none, and what is one gives the name back but for its tries."""
    found = Uki.parse(text)
    assert found is None or found.file.startswith(f"{found.name}_{found.version}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sheltie_1.0.efi",
        "sheltie_1.0.0.EFI",
        "sheltie_01.0.0.efi",
        "sheltie_1.0.0-rc.1.efi",
        "sheltie_1.0.0+.efi",
        "sheltie_1.0.0+3-.efi",
        "../sheltie_1.0.0.efi",
        "sheltie_1.0.0.efi\n",
    ],
)
def test_no_names(text: str) -> None:
    """Other forms are not ours, pre-releases neither: the loader would order them otherwise."""
    assert Uki.parse(text) is None


@given(st.lists(UKIS, max_size=8))
def test_order(ukis: list[Uki]) -> None:
    """Those with tries left go first, and among them the newest."""
    found = order(ukis)
    assert sorted(found, key=str) == sorted(ukis, key=str)
    keys = [(uki.has_tries, version_key(uki.version)) for uki in found]
    assert keys == sorted(keys, reverse=True)


def test_what_boots() -> None:
    """A new one on trial goes before the old one, one without tries behind it."""
    old, trial, failed = Uki("s", "1.9.0"), Uki("s", "1.10.0", 3), Uki("s", "1.11.0", 0, 3)

    assert order([failed, old, trial]) == [trial, old, failed]
