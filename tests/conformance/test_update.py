"""The update engine's twin and the real one keep what the update verbs rely on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.update import UpdateImage
from tests.conformance.update_promises import Bench, UpdatePromises
from tests.host.update import disk
from tests.host.update.server import Server
from tests.host.update.twin import TwinEngine


class TestTwin(UpdatePromises):
    """The twin."""

    @pytest.fixture
    async def bench(self) -> Bench:
        """Return a twin of 1.0.0 to which two updates are offered."""
        engine = TwinEngine("1.0.0", ["1.1.0", "1.2.0"])
        return Bench(engine, engine.next_boot)


@pytest.mark.privileged
@pytest.mark.image
@pytest.mark.timeout(300)
class TestSysupdate(UpdatePromises):
    """systemd-sysupdate, on a disk in a file."""

    @pytest.fixture(scope="class")
    @classmethod
    def offered(cls, tmp_path_factory: pytest.TempPathFactory) -> tuple[disk.Key, Path]:
        """Return the key, and a directory with two updates."""
        key, place = disk.Key(tmp_path_factory.mktemp("key") / "gpg"), tmp_path_factory.mktemp("up")
        for version in ("1.1.0", "1.2.0"):
            disk.publish(place, version, key)
        key.end()
        return key, place

    @pytest.fixture
    async def bench(self, offered: tuple[disk.Key, Path], tmp_path: Path) -> AsyncIterator[Bench]:
        """Give an engine of 1.0.0, and what the loader would boot by the ESP's names."""
        key, place = offered
        with Server(place) as server:
            host = disk.Bench(tmp_path / "host", server, key)

            async def next_boot() -> UpdateImage:
                return disk.image(host.loads().version)

            yield Bench(host.engine(), next_boot, host.settings)
