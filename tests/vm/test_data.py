"""What a boot makes of a data partition, without a boot: the image's own script on a small disk."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.vm.conftest import CLONE

pytestmark = pytest.mark.privileged

SCRIPT = CLONE / "images/host/rootfs/usr/lib/sheltie/data"
DISK_MEGABYTES = 400
RESERVE_MEGABYTES = 64
# In a mount namespace of its own: what checks and mounts the partition is played, its room is real.
PLAY = """
set -e
cd "$1"
mkdir disk bin
mount -t tmpfs -o size=400m disk disk
mkdir disk/lib
[ "$2" = 0 ] || fallocate -l "$2M" disk/lib/sheltie-reserve
[ "$3" = 0 ] || fallocate -l "$3M" disk/fill
printf '#!/bin/sh\\necho superblock is corrupt\\nexit %s\\n' "$4" >bin/e2fsck
printf '#!/bin/sh\\ncase "$*" in *ext4*) exec %s --bind %s/disk /var;; esac\\nexec %s "$@"\\n' \
    "$(command -v mount)" "$1" "$(command -v mount)" >bin/mount
chmod 0755 bin/*
mount -t tmpfs run /run
mount -t tmpfs dev /dev
mknod -m 0666 /dev/null c 1 3
mkdir -p /dev/disk/by-partlabel
touch /dev/disk/by-partlabel/sheltie-data
PATH="$1/bin:$PATH" sh "$5"
cat /run/sheltie-data
stat -c %s /var/lib/sheltie-reserve 2>/dev/null || echo 0
[ -e /var/fill ] && echo disk || echo memory
"""


@dataclass(frozen=True)
class Boot:
    """What a boot said, how many MB it holds in reserve, and what /var is."""

    told: str
    reserve: int
    var: str


def boot(place: Path, *, reserve: int, fill: int, check: int = 0) -> Boot:
    """Boot with a disk of 400 MB on which so many are held in reserve and so many are used."""
    words = [str(place), str(reserve), str(fill), str(check), str(SCRIPT)]
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", PLAY, "sh", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=50)
    told, size, var = done.stdout.splitlines()[-3:]
    return Boot(told, int(size) >> 20, var)


def test_a_disk_with_room_holds_some_in_reserve(tmp_path: Path) -> None:
    """At the first boot with enough room."""
    assert boot(tmp_path, reserve=0, fill=1) == Boot("ok", RESERVE_MEGABYTES, "disk")


def test_a_disk_that_is_nearly_full_is_left_alone(tmp_path: Path) -> None:
    """Nothing is taken away from who has little, and nothing given up before it is needed."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    assert boot(tmp_path / "a", reserve=0, fill=DISK_MEGABYTES - 100) == Boot("ok", 0, "disk")
    kept = boot(tmp_path / "b", reserve=RESERVE_MEGABYTES, fill=DISK_MEGABYTES - 104)
    assert kept == Boot("ok", RESERVE_MEGABYTES, "disk")


def test_a_full_disk_gets_its_reserve(tmp_path: Path) -> None:
    """The containers have room again, and it is said."""
    fill = DISK_MEGABYTES - RESERVE_MEGABYTES - 2
    found = boot(tmp_path, reserve=RESERVE_MEGABYTES, fill=fill)

    assert (found.reserve, found.var) == (0, "disk")
    assert "its reserve is in use" in found.told


def test_a_full_disk_without_a_reserve_is_left_for_memory(tmp_path: Path) -> None:
    """It is not touched, and it is said."""
    found = boot(tmp_path, reserve=0, fill=DISK_MEGABYTES - 2)

    assert found.var == "memory"
    assert found.told.startswith("the data partition is full: ")
    assert "in memory" in found.told


def test_a_broken_disk_is_left_for_memory(tmp_path: Path) -> None:
    """What the check said last is in the sentence."""
    found = boot(tmp_path, reserve=0, fill=1, check=8)

    assert found.var == "memory"
    assert "is broken: superblock is corrupt" in found.told
