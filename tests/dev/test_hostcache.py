"""What the builds of the host's image keep: the newest of each kind, and what is in use."""

import os
from pathlib import Path

import pytest

from dev import hostcache

NOW = 1_000_000_000.0
OLD = NOW - 10 * hostcache.RECENT_SECONDS


def result(path: Path, used: float) -> Path:
    """Make a result that was used then."""
    path.mkdir(parents=True)
    (path / "root").touch()
    os.utime(path, (used, used))
    return path


@pytest.mark.parametrize("where", ["", "images/"])
def test_the_newest_of_each_kind_stay(tmp_path: Path, where: str) -> None:
    """Of each kind those used last stay; kinds do not count for one another."""
    for kind in ("base", "tree-admin", "sheltie", "sheltie-signed"):
        for number in range(4):
            result(tmp_path / f"{where}{kind}-{number:016x}", OLD + number)
    removed = {path.name for path in hostcache.prune(tmp_path, NOW)}
    left = {path.name for path in (tmp_path / where).glob("*-*")}

    assert {name.rpartition("-")[2].lstrip("0") for name in left} == {"2", "3"}
    assert len(removed) == len(left) == 8


def test_what_somebody_may_be_at_work_with_stays(tmp_path: Path) -> None:
    """However many there are of a kind, those used lately are left alone."""
    for number in range(5):
        result(tmp_path / f"images/sheltie-{number:016x}", NOW - number)
    gone = result(tmp_path / f"images/sheltie-{9:016x}", OLD)

    assert hostcache.prune(tmp_path, NOW) == [gone]


def test_to_take_a_result_is_to_use_it(tmp_path: Path) -> None:
    """A result that is taken counts as the newest; one that is not there is not taken."""
    for number in range(3):
        result(tmp_path / f"base-{number:016x}", OLD + number)
    oldest = tmp_path / f"base-{0:016x}"
    assert hostcache.take(oldest)
    assert not hostcache.take(tmp_path / "base-none")
    for number in (1, 2):
        assert oldest.stat().st_mtime > (tmp_path / f"base-{number:016x}").stat().st_mtime

    assert [path.name for path in hostcache.prune(tmp_path, NOW)] == [f"base-{1:016x}"]


def test_other_things_in_the_cache_stay(tmp_path: Path) -> None:
    """Locks, rooms and what is being made are no results; packages stay for a month."""
    for name in (".base-work", "room", "images"):
        result(tmp_path / name, OLD)
    (tmp_path / "lock").touch()
    packages = tmp_path / "packages"
    packages.mkdir()
    for name, used in (("new", OLD), ("old", NOW - 2 * hostcache.PACKAGES_SECONDS)):
        (packages / f"{name}.deb").touch()
        os.utime(packages / f"{name}.deb", (used, used))

    assert hostcache.prune(tmp_path, NOW) == [packages / "old.deb"]
    assert {path.name for path in tmp_path.iterdir()} == {
        *(".base-work", "room", "images", "lock", "packages")
    }
