"""What lasts from boot to boot, and a host whose data partition is lost: one run of QEMU."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dev import qemu, vm
from dev.hostimage import HostImage
from dev.qemu import Machine
from dev.vm import Booted

pytestmark = [
    *(pytest.mark.vm, pytest.mark.image, pytest.mark.privileged, pytest.mark.slow),
    pytest.mark.timeout(900),
]

BOOT_SECONDS = 300.0


@pytest.fixture(scope="module")
def host(image: HostImage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    """A machine of its own, without a UUID and without settings of anybody."""
    place = tmp_path_factory.mktemp("vm") / "machine"
    machine = Machine(place, (), qemu.accelerator(image), credentials=vm.agent())
    qemu.prepare(machine, image)
    booted = vm.boot(machine)
    yield booted
    qemu.end(booted.pid, machine)


def reboot(host: Booted) -> None:
    """Reboot at once, without a clean end, and wait for the next boot's greeting."""
    before = host.run("cat", "/proc/sys/kernel/random/boot_id")
    host.port.run("systemctl", "reboot", "--force")
    host.port.hello(BOOT_SECONDS)

    assert before != host.run("cat", "/proc/sys/kernel/random/boot_id")


def status(host: Booted) -> dict[str, Any]:
    """Return the daemon's status, once it answers."""
    deadline = time.monotonic() + BOOT_SECONDS
    while time.monotonic() < deadline:
        answer = host.port.run("hostd", "status", "--json")
        if not answer.status:
            found: dict[str, Any] = json.loads(answer.out)
            return found
        time.sleep(1)
    pytest.fail("the daemon does not answer")


def test_the_machines_id_stays(host: Booted) -> None:
    """The id of the first boot is that of the second, and the journal goes on under it."""
    host.wait_for_container("control", BOOT_SECONDS)
    before = host.run("cat", "/etc/machine-id").strip()
    assert len(before) == 32
    reboot(host)

    assert before == host.run("cat", "/etc/machine-id").strip()
    assert host.run("ls", "/var/log/journal").split() == [before]


def test_a_lost_data_partition_stops_nothing(host: Booted, image: HostImage) -> None:
    """With ext4 overwritten the host boots, control runs from the image, and status says it."""
    host.run("dd", "if=/dev/zero", "of=/dev/disk/by-partlabel/sheltie-data", "bs=1M", "count=64")
    reboot(host)
    host.wait_for_container("control", BOOT_SECONDS)
    found = status(host)

    assert host.run("findmnt", "-n", "-o", "FSTYPE", "/var").strip() == "tmpfs"
    assert any("data partition" in one for one in found["problems"])
    assert found["system"]["version"] == image.about["version"]
    assert "data partition" in Path(host.machine.serial).read_text(errors="replace")
