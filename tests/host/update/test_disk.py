"""Which disk the root is on, as sysfs tells, and what is on it."""

import os
from pathlib import Path

import pytest

from contract.errors import FailedError, MachineError
from host.update import disk


def test_the_disk_of_a_verified_root(tmp_path: Path) -> None:
    """Its device's lower device is a partition, and that one's parent the disk."""
    partition = tmp_path / "devices/pci0/virtio1/block/vda/vda2"
    partition.mkdir(parents=True)
    number = tmp_path.stat().st_dev
    slaves = tmp_path / f"dev/{os.major(number)}:{os.minor(number)}/slaves"
    slaves.mkdir(parents=True)
    (slaves / "vda2").symlink_to(partition)

    assert disk.whole_disk(tmp_path / "dev", tmp_path) == Path("/dev/vda")


def test_another_root(tmp_path: Path) -> None:
    """A root that is on no such device is told as that."""
    with pytest.raises(MachineError) as caught:
        disk.whole_disk(tmp_path, tmp_path)

    assert caught.value.code == "UPDATE_NO_DISK"


async def test_a_disk_without_a_table(tmp_path: Path) -> None:
    """It is an error that names the disk."""
    file = tmp_path / "disk"
    file.write_bytes(bytes(1 << 20))
    with pytest.raises(FailedError, match=str(file)):
        await disk.partitions(file)
