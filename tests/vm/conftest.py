"""One booted host for all tests here: the one that SHELTIE_VM names, else one of our own.

The image is the one that ships; tests come in by credentials and a virtio-serial port.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev import hostimage
from dev.hostimage import HostImage
from tests.e2e.host import Host

CLONE = Path(__file__).resolve().parents[2]
UP_SECONDS = 1500
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
