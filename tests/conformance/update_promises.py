"""What the update verbs rely on in every Engine: the tests that each implementation inherits.

A subclass offers a fixture `bench`: an engine of a host that runs 1.0.0, to which 1.1.0 and 1.2.0
are offered, and how to see what would boot next.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from contract.errors import SheltieError
from contract.settings import Updates
from contract.update import UpdateImage
from host.update.choice import precedence
from host.update.seam import Engine, Progress, Slots, Standing

__all__ = ["Bench", "UpdatePromises"]


@dataclass
class Bench:
    """An engine on a host of its own. `next_boot` returns what would boot next."""

    engine: Engine
    next_boot: Callable[[], Awaitable[UpdateImage]]
    settings: Updates = field(default_factory=Updates)


class UpdatePromises:
    """The promises."""

    async def test_what_runs_boots_next(self, bench: Bench) -> None:
        """Where nothing was done the next boot is into what runs."""
        runs = await running(bench)

        assert runs.version == "1.0.0"
        assert await bench.next_boot() == runs

    async def test_what_is_offered_is_for_this_host(self, bench: Bench) -> None:
        """Offered images are of this host's kind, with versions that can be compared."""
        runs = await running(bench)
        offered = await bench.engine.available(bench.settings)

        assert {one.version for one in offered} >= {"1.1.0", "1.2.0"}
        for one in offered:
            assert (one.arch, one.variant) == (runs.arch, runs.variant)
            precedence(one.version)

    async def test_preparing_does_not_activate(self, bench: Bench) -> None:
        """After prepare the next boot is still into what runs; after activate it is not."""
        runs = await running(bench)
        new = await chosen(bench, "1.2.0")
        await bench.engine.prepare(new, bench.settings, Progress())
        assert await bench.next_boot() == runs
        await bench.engine.activate(new)

        assert await bench.next_boot() == new
        assert await running(bench) == runs

    async def test_deactivating_keeps_what_was_prepared(self, bench: Bench) -> None:
        """Deactivate goes back, twice is fine, and the image can be activated again."""
        new = await chosen(bench, "1.1.0")
        await bench.engine.prepare(new, bench.settings, Progress())
        await bench.engine.activate(new)
        for _ in range(2):
            await bench.engine.deactivate()
            assert await bench.next_boot() == await running(bench)
        await bench.engine.activate(new)

        assert await bench.next_boot() == new

    async def test_preparing_another(self, bench: Bench) -> None:
        """Another image takes the first one's place, which then cannot be activated."""
        first, second = await chosen(bench, "1.1.0"), await chosen(bench, "1.2.0")
        await bench.engine.prepare(first, bench.settings, Progress())
        await bench.engine.prepare(second, bench.settings, Progress())
        with pytest.raises(SheltieError):
            await bench.engine.activate(first)
        assert await bench.next_boot() == await running(bench)
        await bench.engine.activate(second)

        assert await bench.next_boot() == second

    async def test_what_is_not_offered(self, bench: Bench) -> None:
        """An image that is not offered is refused, and what boots next is as before."""
        runs = await running(bench)
        unknown = UpdateImage(runs.arch, "9.9.9", runs.variant)
        with pytest.raises(SheltieError):
            await bench.engine.prepare(unknown, bench.settings, Progress())
        with pytest.raises(SheltieError):
            await bench.engine.activate(unknown)

        assert await bench.next_boot() == runs

    async def test_slots_tell_it_all(self, bench: Bench) -> None:
        """What is prepared, and what boots next, is seen in the slots."""
        new = await chosen(bench, "1.1.0")
        seen = [await bench.engine.slots()]
        await bench.engine.prepare(new, bench.settings, Progress())
        seen.append(await bench.engine.slots())
        await bench.engine.activate(new)
        seen.append(await bench.engine.slots())
        await bench.engine.deactivate()
        seen.append(await bench.engine.slots())

        assert [others(slots) for slots in seen] == [
            [],
            [("1.1.0", Standing.STAGED)],
            [("1.1.0", Standing.NEXT)],
            [("1.1.0", Standing.STAGED)],
        ]
        assert {slots.running.version for slots in seen} == {"1.0.0"}


def others(slots: Slots) -> list[tuple[str, Standing]]:
    """Return how each image stands that does not run."""
    return [(one.image.version, one.standing) for one in slots.others]


async def running(bench: Bench) -> UpdateImage:
    """Return what runs."""
    return (await bench.engine.slots()).running


async def chosen(bench: Bench, version: str) -> UpdateImage:
    """Return the offered image of that version."""
    offered = await bench.engine.available(bench.settings)
    return next(one for one in offered if one.version == version)
