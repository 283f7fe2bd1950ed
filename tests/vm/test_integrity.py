"""Whether the host is what was delivered: told by status, and by an error where it is not."""

import json

import pytest

from dev import hostlook
from dev.hostimage import NAME, HostImage
from dev.vm import Booted
from tests.vm import disk, life
from tests.vm.conftest import UP_SECONDS

pytestmark = [
    *(pytest.mark.vm, pytest.mark.image, pytest.mark.privileged, pytest.mark.slow),
    pytest.mark.timeout(UP_SECONDS),
]

FILE = "/usr/share/zoneinfo/tzdata.zi"
"""Which nothing on the host reads."""
BLOCK = 4096


def test_status_tells_what_runs_and_how(own: Booted, signed: HostImage) -> None:
    """Slot, root hash, verity, Secure Boot and lockdown, in both programs' words too."""
    system = life.status(own)["system"]
    shown = own.run("hostd", "status")
    own.wait_for_container("control")
    inside = own.run("control", "status", container="control")
    words = "verity verified, Secure Boot on, lockdown integrity"

    assert system["slot"] == f"{NAME}_{signed.about['version']}"
    assert system["root_hash"] == signed.about["roothash"]
    assert (system["verity"], system["secure_boot"]) == ("verified", True)
    assert system["lockdown"] == "integrity"
    assert words in shown
    assert words in inside
    assert signed.about["roothash"] in inside


def test_an_image_on_trial_is_blessed(own: Booted) -> None:
    """It came with three attempts; the boot that is well takes the count away."""
    life.wait_for("a good boot", lambda: not own.port.run("ls", "/run/sheltie-blessed").status)
    names = own.run("ls", "/boot/EFI/Linux").split()

    assert "attempts_left" not in life.status(own)["system"]
    assert [name for name in names if "+" in name] == []
    assert len(names) == 1


def test_a_flipped_bit_is_an_error_an_event_and_a_status(own: Booted, signed: HostImage) -> None:
    """The file it lies in cannot be read, all else can; the daemon hears of it by itself."""
    place = hostlook.place_of(signed, FILE)
    slot = disk.starts(own.machine.disk)[f"{NAME}_{signed.about['version']}"]
    assert life.events(own, "image.corrupted") == []
    disk.flip(own.machine.disk, slot + place + 100)
    own.run("dd", "of=/proc/sys/vm/drop_caches", stdin=b"3")
    done = own.port.run("cat", FILE)
    assert done.status == 1
    assert b"Input/output error" in done.err
    life.wait_for("the daemon knows", lambda: life.status(own)["system"]["verity"] == "corrupted")
    (event,) = life.events(own, "image.corrupted")

    assert (event["kind"], event["block"]) == ("data", place // BLOCK)
    assert any("corrupted" in one for one in life.status(own)["problems"])
    assert own.run("cat", "/etc/hostname").strip() == NAME


def test_it_is_known_to_a_daemon_that_comes_later(own: Booted) -> None:
    """What was found before is asked of the kernel at the start."""
    own.run("systemctl", "restart", "hostd")
    life.wait_for("the daemon knows", lambda: life.status(own)["system"]["verity"] == "corrupted")
    started = json.loads(own.run("hostd", "status", "--json"))

    assert any("corrupted" in one for one in started["problems"])
