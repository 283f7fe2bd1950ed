"""Secure Boot with the tests' own keys: the signed image boots, the kernel is locked down."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev import hostimage, hostlook, qemu, vm
from dev.hostimage import HostImage, Keys
from dev.qemu import Machine
from dev.vm import Booted
from tests.vm.conftest import UP_SECONDS

pytestmark = [
    *(pytest.mark.vm, pytest.mark.image, pytest.mark.privileged, pytest.mark.slow),
    pytest.mark.timeout(UP_SECONDS),
]

SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Give a key and its certificate, made as the docs say."""
    place = tmp_path_factory.mktemp("keys")
    key, certificate = place / "db.key", place / "db.crt"
    argv = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-x509", "-sha256", "-days", "2"]
    argv += ["-subj", "/CN=tests/", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(argv, check=True, capture_output=True)
    return Keys(key, certificate)


@pytest.fixture(scope="module")
def signed(keys: Keys) -> HostImage:
    """Give the image, signed."""
    return hostimage.build(lambda _: None, keys=keys)


@pytest.fixture
def host(keys: Keys, signed: HostImage, tmp_path: Path) -> Iterator[Booted]:
    """Give a machine whose firmware knows the certificate, with Secure Boot on."""
    place = tmp_path / "machine"
    variables = hostlook.enrolled(keys.certificate, tmp_path / "variables")
    machine = Machine(place, (), qemu.accelerator(signed), secure_boot=True, credentials=vm.agent())
    qemu.prepare(machine, signed, variables)
    booted = vm.boot(machine)
    yield booted
    qemu.end(booted.pid, machine)


def test_the_root_hash_does_not_depend_on_the_keys(image: HostImage, signed: HostImage) -> None:
    """Signing adds to loader and UKI, and changes nothing of the system."""
    assert image.about["roothash"] == signed.about["roothash"]
    assert image.uki.stat().st_size < signed.uki.stat().st_size


def test_it_boots_and_the_kernel_is_locked_down(host: Booted) -> None:
    """The firmware let it start with Secure Boot on, and the kernel says so."""
    state = host.run("od", "-An", "-tu1", "-j4", SECURE_BOOT).strip()

    assert state == "1"
    assert "[integrity]" in host.run("cat", "/sys/kernel/security/lockdown")
