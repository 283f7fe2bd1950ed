"""Two booted hosts: one with the main job's settings, and one that goes through a host's bad days.

`vm` is the one that SHELTIE_VM names, else one of our own. `own` has Secure Boot on with the tests'
keys, an image on trial, and first settings on a volume; its tests tell one story, in the order of
their files, in one run of QEMU. The image is the one that ships; tests come in by credentials and a
virtio-serial port.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev import hostimage, hostlook, qemu
from dev import vm as machines
from dev.hostimage import HostImage, Keys
from dev.qemu import Machine
from dev.vm import Booted
from tests.e2e.host import Host

CLONE = Path(__file__).resolve().parents[2]
UP_SECONDS = 3000
"""A cold build of both container images and of the host's, and a boot without KVM."""


@pytest.fixture(scope="session")
def image() -> HostImage:
    """Give the host's image, built unless it is there."""
    return hostimage.build(lambda _: None)


@pytest.fixture(scope="session")
def vm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Give a virtual machine with control running and admin enabled."""
    given = os.environ.get("SHELTIE_VM", "")
    if given:
        yield Host.load(Path(given))
        return
    site = tmp_path_factory.mktemp("vm") / "site"
    argv = [sys.executable, "-I", "-m", "dev"]
    where = ["--site", str(site)]
    try:
        subprocess.run([*argv, "vm-up", *where], cwd=CLONE, check=True, timeout=UP_SECONDS)
        yield Host.load(site / "vm.json")
    finally:
        subprocess.run([*argv, "vm-down", *where], cwd=CLONE, check=True, timeout=60)


MOTD = "First settings came on a volume."


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Give a key and its certificate, made as the docs say."""
    place = tmp_path_factory.mktemp("keys")
    key, certificate = place / "db.key", place / "db.crt"
    argv = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-x509", "-sha256", "-days", "2"]
    argv += ["-subj", "/CN=tests/", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(argv, check=True, capture_output=True)
    return Keys(key, certificate)


@pytest.fixture(scope="session")
def signed(image: HostImage, keys: Keys) -> Iterator[HostImage]:
    """Give the image, signed; nobody can use it afterwards, since the keys are gone."""
    built = hostimage.sign(image, keys, lambda _: None)
    yield built
    shutil.rmtree(built.place)


@pytest.fixture(scope="session")
def own(
    keys: Keys, signed: HostImage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Booted]:
    """Give a machine whose firmware trusts the tests' certificate alone, booted once."""
    place = tmp_path_factory.mktemp("own")
    variables = hostlook.enrolled(keys.certificate, place / "variables")
    settings = json.dumps({"settings": {"motd": MOTD}}).encode()
    volume = hostlook.volume({"settings.json": settings}, "SHELTIE", place / "volume")
    machine = Machine(
        place / "machine",
        accelerator=qemu.accelerator(signed),
        secure_boot=True,
        credentials=machines.agent(),
        volumes=(volume,),
    )
    qemu.prepare(machine, signed, variables)
    uki = f"::EFI/Linux/{hostimage.NAME}_{signed.about['version']}"
    hostlook.on_esp(machine.disk, ("mren", f"{uki}.efi", f"{uki}+3.efi"))
    booted = machines.boot(machine)
    yield booted
    booted.end()
