"""The flag of a touched host: set once, kept over restarts of the daemon, gone with a boot."""

from pathlib import Path

import pytest

from contract.event import Event, HostTouched, HostVerified
from host.touched import Touched


@pytest.fixture
def noted() -> list[Event]:
    """Give a list that notes events."""
    return []


def found(place: Path, boot: str, noted: list[Event]) -> Touched:
    """Return the flag as a daemon of that boot finds it."""
    touched = Touched(place / "touched.json", boot, noted.append)
    touched.begin()
    return touched


def test_it_lasts_until_a_boot(tmp_path: Path, noted: list[Event]) -> None:
    """The first way counts; another daemon knows it; the next boot does not, and says so."""
    assert found(tmp_path, "one", noted).status is None
    first = found(tmp_path, "one", noted)
    for by in ("a session in admin", "exec of control"):
        first.touch(by)
    second = found(tmp_path, "one", noted)
    assert second.status == first.status
    assert first.status is not None
    assert first.status.by == "a session in admin"
    third = found(tmp_path, "two", noted)

    assert (third.status, list(tmp_path.iterdir())) == (None, [])
    assert noted == [HostTouched("a session in admin"), HostVerified(first.status.since)]
    assert found(tmp_path, "two", noted).status is None


@pytest.mark.parametrize("text", ["", "{", '{"version":1}'])
def test_a_broken_flag_is_one(tmp_path: Path, noted: list[Event], text: str) -> None:
    """Who broke it was root."""
    (tmp_path / "touched.json").write_text(text)

    assert found(tmp_path, "one", noted).status is not None


def test_a_disk_that_cannot_be_written(tmp_path: Path, noted: list[Event]) -> None:
    """It is known all the same, as long as this daemon runs."""
    touched = Touched(tmp_path / "missing/touched.json", "one", noted.append)
    touched.touch("a session in admin")

    assert touched.status is not None
