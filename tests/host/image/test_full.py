"""A full disk: one clear line, nothing half done stays, and the last good image starts."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.host.image import tiny
from tests.host.image.registry import Registry

pytestmark = pytest.mark.privileged


def small(tmp_path: Path, registry: Registry, megabytes: int, *steps: str) -> list[dict[str, Any]]:
    """Take steps on a disk of that size and return what came of each source."""
    state = tmp_path / "small"
    state.mkdir()
    argv = ["unshare", "--mount", sys.executable, "-I", "-m", "tests.host.image.full"]
    done = subprocess.run(
        [*argv, str(state), str(megabytes), str(registry.port), *steps],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=50,
    )
    assert not list(state.iterdir())
    return [json.loads(line) for line in done.stdout.splitlines()]


def push(registry: Registry, layout: Path, data: bytes) -> str:
    """Push an image with a big file and return where it is in the registry."""
    tiny.write(layout, tag="big", files={"big": data})
    return f"tiny@{registry.push(layout, 'tiny:1', tag='big')}"


def test_too_big_to_pull(tmp_path: Path, registry: Registry, layout: Path) -> None:
    """It is known before the first byte comes, and said how much is needed."""
    source = push(registry, layout, os.urandom(12_000_000))
    (found,) = small(tmp_path, registry, 8, source)

    assert found["code"] == "DISK_FULL"
    assert f"{source}: 14 MB are needed and 9 MB are there" in found["line"]
    assert not {*found["left"]} - {"blobs"}
    assert not found["blobs"]


def test_full_in_the_middle_of_a_pull(tmp_path: Path, registry: Registry, layout: Path) -> None:
    """Somebody else fills the disk meanwhile; once there is room it comes."""
    source = push(registry, layout, os.urandom(4_000_000))
    failed, done = small(tmp_path, registry, 24, f"+{source}", source)

    assert failed["code"] == "DISK_FULL"
    assert (failed["left"], failed["blobs"]) == (["blobs"], 0)
    assert source.endswith(done["digest"])


def test_too_big_to_unpack(tmp_path: Path, registry: Registry, layout: Path) -> None:
    """What is small in the registry and large on disk."""
    source = push(registry, layout, bytes(40_000_000))
    found = small(tmp_path, registry, 16, source, f"oci:{layout}:big")

    for one in found:
        assert one["code"] == "DISK_FULL"
        assert "the disk is full" in one["line"]
        assert not {*one["left"]} - {"blobs"}
        assert not one["blobs"]


def test_the_last_good_one_starts(tmp_path: Path, registry: Registry, layout: Path) -> None:
    """A new image that finds no room leaves the door as it was."""
    tiny.write(tmp_path / "large", files={"big": bytes(40_000_000)})
    (tmp_path / "now").symlink_to(layout)
    (tmp_path / "next").symlink_to(tmp_path / "large")
    source, turn = f"oci:{tmp_path}/now", f"={tmp_path}/next={tmp_path}/now"
    first, second = small(tmp_path, registry, 16, source, "good", turn, source)

    assert first["digest"] == second["digest"]
    assert "because the disk is full" in second["note"]
    assert first["left"] == second["left"]


def test_a_read_only_disk(tmp_path: Path, registry: Registry, layout: Path) -> None:
    """What is there starts; a new image cannot come, and the last good one stands in."""
    tiny.write(tmp_path / "other", ("true",))
    (tmp_path / "now").symlink_to(layout)
    (tmp_path / "next").symlink_to(tmp_path / "other")
    source, turn = f"oci:{tmp_path}/now", f"={tmp_path}/next={tmp_path}/now"
    found = small(tmp_path, registry, 16, source, "good", "ro", source, turn, source)

    assert len({one["digest"] for one in found}) == 1
    assert [bool(one["note"]) for one in found] == [False, False, True]
    assert "Read-only file system" in found[2]["note"]
