"""What the update verbs rely on in every Engine: the tests that each implementation inherits.

A subclass offers a fixture `bench`: an engine of a host that runs 1.0.0, to which 1.1.0 and 1.2.0
are offered, and how to see what would boot next.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from contract.errors import SheltieError
from contract.settings import Updates
from contract.update import UpdateImage
from host.update.choice import precedence
from host.update.seam import Engine

__all__ = ["Bench", "UpdatePromises"]


@dataclass
class Bench:
    """An engine on a host of its own. `next_boot` returns what would boot next."""

    engine: Engine
    next_boot: Callable[[], Awaitable[UpdateImage]]


class UpdatePromises:
    """The promises."""

    async def test_what_runs_boots_next(self, bench: Bench) -> None:
        """Where nothing was done the next boot is into what runs."""
        running = await bench.engine.running()

        assert running.version == "1.0.0"
        assert await bench.next_boot() == running

    async def test_what_is_offered_is_for_this_host(self, bench: Bench) -> None:
        """Offered images are of this host's kind, with versions that can be compared."""
        running = await bench.engine.running()
        offered = await bench.engine.available(Updates())

        assert {one.version for one in offered} >= {"1.1.0", "1.2.0"}
        for one in offered:
            assert (one.arch, one.variant) == (running.arch, running.variant)
            precedence(one.version)

    async def test_preparing_does_not_activate(self, bench: Bench) -> None:
        """After prepare the next boot is still into what runs; after activate it is not."""
        running = await bench.engine.running()
        new = await chosen(bench, "1.2.0")
        await bench.engine.prepare(new)
        assert await bench.next_boot() == running
        await bench.engine.activate(new)

        assert await bench.next_boot() == new
        assert await bench.engine.running() == running

    async def test_deactivating_keeps_what_was_prepared(self, bench: Bench) -> None:
        """Deactivate goes back, twice is fine, and the image can be activated again."""
        new = await chosen(bench, "1.1.0")
        await bench.engine.prepare(new)
        await bench.engine.activate(new)
        for _ in range(2):
            await bench.engine.deactivate()
            assert await bench.next_boot() == await bench.engine.running()
        await bench.engine.activate(new)

        assert await bench.next_boot() == new

    async def test_preparing_another(self, bench: Bench) -> None:
        """Another image takes the first one's place, which then cannot be activated."""
        first, second = await chosen(bench, "1.1.0"), await chosen(bench, "1.2.0")
        await bench.engine.prepare(first)
        await bench.engine.prepare(second)
        with pytest.raises(SheltieError):
            await bench.engine.activate(first)
        assert await bench.next_boot() == await bench.engine.running()
        await bench.engine.activate(second)

        assert await bench.next_boot() == second

    async def test_what_is_not_offered(self, bench: Bench) -> None:
        """An image that is not offered is refused, and what boots next is as before."""
        running = await bench.engine.running()
        unknown = UpdateImage(running.arch, "9.9.9", running.variant)
        with pytest.raises(SheltieError):
            await bench.engine.prepare(unknown)
        with pytest.raises(SheltieError):
            await bench.engine.activate(unknown)

        assert await bench.next_boot() == running


async def chosen(bench: Bench, version: str) -> UpdateImage:
    """Return the offered image of that version."""
    offered = await bench.engine.available(Updates())
    return next(one for one in offered if one.version == version)
