"""One running host for all e2e tests: the one that SHELTIE_UP names, else one of our own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.host import PATIENCE, Host

CLONE = Path(__file__).resolve().parents[2]


def _up(*arguments: str) -> None:
    argv = [sys.executable, "-I", "-m", "dev", *arguments]
    subprocess.run(argv, cwd=CLONE, stdin=subprocess.DEVNULL, check=True, timeout=600)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the longer time of a slow host."""
    for item in items if PATIENCE > 1 else ():
        marker = item.get_closest_marker("timeout")
        if marker is not None:
            item.add_marker(pytest.mark.timeout(marker.args[0] * PATIENCE), append=False)


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host with control running and admin enabled."""
    given = os.environ.get("SHELTIE_UP", "")
    if given:
        yield Host.load(Path(given))
        return
    site = tmp_path_factory.mktemp("host") / "site"
    try:
        _up("up", "--site", str(site))
        yield Host.load(site / "up.json")
    finally:
        _up("down", "--site", str(site))


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A stock host with the images as drop-ins; always one of our own, in the stand-in."""
    site = tmp_path_factory.mktemp("stock") / "site"
    try:
        _up("up", "--stock", "--site", str(site))
        yield Host.load(site / "up.json")
    finally:
        _up("down", "--site", str(site))


@pytest.fixture
def admin(host: Host) -> Host:
    """The host with admin enabled for up.json's own identity."""
    host.ensure()
    return host
