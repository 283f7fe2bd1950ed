"""Registries and images for the tests of pulling."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from host.image.access import Mirror, RegistryAccess
from host.image.images import Images
from host.image.pull import Limits
from tests.host.image import tiny
from tests.host.image.registry import Registry
from tests.host.image.wire import Wire

Make = Callable[..., Images]

LIMITS = Limits(answer=10, stall=20, whole=60, patience=10, tick=0.02)
"""Patient, for busy machines; tests of the limits take shorter ones."""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A registry without TLS."""
    with Registry.running(tmp_path / "registry") as registry:
        yield registry


@pytest.fixture
async def wire(registry: Registry) -> AsyncIterator[Wire]:
    """A wire to it."""
    async with Wire.to(registry.port) as wire:
        yield wire


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """A layout with the tiny image."""
    tiny.write(tmp_path / "layout")
    return tmp_path / "layout"


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Make]:
    """Return what makes the images of a daemon that starts; several in a row share their state."""
    async with AsyncExitStack() as stack:

        def make(
            place: str = "", access: RegistryAccess | None = None, limits: Limits = LIMITS
        ) -> Images:
            used = access or plain(place)
            images = Images(tmp_path / "state", tmp_path / "run", lambda: used, limits)
            images.sweep()
            stack.push_async_callback(images.close)
            return images

        yield make


def plain(place: str) -> RegistryAccess:
    """Return the access to a registry without TLS."""
    return RegistryAccess((Mirror(place, (f"http://{place}",)),))
