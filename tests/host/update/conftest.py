"""A key for all tests of the engine, and benches with a server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.update.disk import Bench, Key, publish
from tests.host.update.server import Server


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Key]:
    """Give the key that images of these tests trust."""
    key = Key(tmp_path_factory.mktemp("key") / "gpg")
    yield key
    key.end()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Give an update server with nothing on it."""
    (tmp_path / "served").mkdir()
    with Server(tmp_path / "served") as server:
        yield server


@pytest.fixture
def bench(tmp_path: Path, server: Server, key: Key) -> Bench:
    """Give a host that runs 1.0.0, and a server that offers 1.1.0."""
    publish(server.place, "1.1.0", key)
    return Bench(tmp_path / "host", server, key)
