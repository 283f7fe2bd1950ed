"""Secure Boot with the tests' own keys: what they signed boots, locked down; the rest does not."""

import shutil

import pytest

from contract.errors import TimedOutError
from dev import hostlook, qemu
from dev.hostimage import NAME, HostImage
from dev.vm import Booted
from tests.vm.conftest import UP_SECONDS

pytestmark = [
    *(pytest.mark.vm, pytest.mark.image, pytest.mark.privileged, pytest.mark.slow),
    pytest.mark.timeout(UP_SECONDS),
]

SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
FIRMWARE_SECONDS = 300.0
SILENT_SECONDS = 30.0
"""An image that is let start has greeted by then, after the firmware."""


def test_the_root_hash_does_not_depend_on_the_keys(image: HostImage, signed: HostImage) -> None:
    """Signing adds to loader and UKI, and changes nothing of the system."""
    assert image.about["roothash"] == signed.about["roothash"]
    assert image.root.read_bytes() == signed.root.read_bytes()
    assert image.uki.stat().st_size < signed.uki.stat().st_size


def test_it_boots_and_the_kernel_is_locked_down(own: Booted) -> None:
    """The firmware let it start with Secure Boot on, and the kernel says so."""
    state = own.run("od", "-An", "-tu1", "-j4", SECURE_BOOT).strip()

    assert state == "1"
    assert "[integrity]" in own.run("cat", "/sys/kernel/security/lockdown")


def test_an_unsigned_image_does_not_boot(own: Booted, image: HostImage) -> None:
    """The last of this machine: with the unsigned UKI in its place the firmware refuses it."""
    own.end()
    machine = own.machine
    shutil.copyfile(image.uki, machine.place / "unsigned")
    uki = f"::EFI/Linux/{NAME}_{image.about['version']}.efi"
    hostlook.on_esp(machine.disk, ("mdel", uki), ("mcopy", "/made/unsigned", uki))
    refused = Booted(machine, qemu.start(machine))
    try:
        qemu.wait_for_text(machine, refused.process, "Access denied", FIRMWARE_SECONDS)
        with pytest.raises(TimedOutError):
            refused.port.hello(SILENT_SECONDS)
    finally:
        refused.end()
