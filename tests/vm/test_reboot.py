"""What lasts from boot to boot, and a data partition that is full, absent or broken."""

from dataclasses import dataclass
from typing import Any

import pytest

from dev.hostimage import HostImage
from dev.vm import Booted
from tests.vm import disk, life
from tests.vm.conftest import MOTD, UP_SECONDS

pytestmark = [
    *(pytest.mark.vm, pytest.mark.image, pytest.mark.privileged, pytest.mark.slow),
    pytest.mark.timeout(UP_SECONDS),
]

DATA = "sheltie-data"
NEVER_GIVEN = 16 << 20
"""Bytes of ext4 that nobody gets, root neither: they show as free all the same."""


@dataclass(frozen=True)
class Facts:
    """What is to last."""

    machine_id: str
    filesystem: str
    settings: str

    @classmethod
    def of(cls, host: Booted) -> "Facts":
        """Ask for them, once the host is up with its settings."""
        host.wait_for_container("control")
        return cls(
            host.run("cat", "/etc/machine-id").strip(),
            host.run("findmnt", "-n", "-o", "SOURCE,UUID", "/var").strip(),
            host.run("apiclient", "get", "settings.motd"),
        )


def booted(host: Booted) -> dict[str, Any]:
    """Reboot, wait until control runs, and return the daemon's status."""
    before = host.run("cat", "/proc/sys/kernel/random/boot_id")
    host.reboot()
    assert before != host.run("cat", "/proc/sys/kernel/random/boot_id")
    host.wait_for_container("control")
    return life.status(host)


def test_what_is_to_last_does_also_when_the_disk_is_full(own: Booted) -> None:
    """The machine's id, its data and settings; the journal goes on; status says what is full."""
    before = Facts.of(own)
    assert len(before.machine_id) == 32
    blocks, size = map(int, own.run("stat", "-f", "-c", "%a %S", "/var").split())
    own.run("fallocate", "-l", str(blocks * size - (16 << 20)), "/var/fill")
    # What is kept for root too: the daemon is root.
    own.port.run("dd", "if=/dev/zero", "of=/var/rest", "bs=64k", "conv=fsync")
    free = int(own.run("stat", "-f", "-c", "%f", "/var"))
    assert free * size <= NEVER_GIVEN
    found = booted(own)
    after = Facts.of(own)
    own.run("rm", "/var/fill", "/var/rest")

    assert before == after
    assert MOTD in after.settings
    assert any("its reserve is in use" in one for one in found["problems"])
    assert before.machine_id in own.run("ls", "/var/log/journal").split()


def test_without_a_data_partition_it_runs_from_memory(own: Booted, image: HostImage) -> None:
    """The containers come from the verified image, and status says what is lost."""
    disk.relabel(own.machine.disk, DATA, "gone")
    found = booted(own)

    assert own.run("findmnt", "-n", "-o", "FSTYPE", "/var").strip() == "tmpfs"
    assert "there is no data partition" in found["system"]["data"]
    assert any("in memory" in one for one in found["problems"])
    assert found["system"]["version"] == image.about["version"]


def test_a_lost_data_partition_stops_nothing(own: Booted) -> None:
    """With ext4 overwritten the host boots, control runs from the image, and status says it."""
    disk.relabel(own.machine.disk, "gone", DATA)
    start = disk.starts(own.machine.disk)[DATA]
    with own.machine.disk.open("r+b") as file:
        file.seek(start)
        file.write(bytes(64 << 20))
    found = booted(own)

    assert own.run("findmnt", "-n", "-o", "FSTYPE", "/var").strip() == "tmpfs"
    assert "is broken" in found["system"]["data"]
    assert any("in memory" in one for one in found["problems"])
    assert "data partition" in own.machine.serial.read_text(errors="replace")
