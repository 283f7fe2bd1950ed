"""What the supervisor relies on in every ImageSource: the tests that each implementation inherits.

A subclass offers a fixture `stage` with a source, and ways to put images there and to take it away.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from contract.errors import FailedError, SheltieError, UsageError
from host.image.seam import ImageSource

__all__ = ["ImagePromises", "Stage"]


@dataclass
class Stage:
    """An image source, and the one `source` that is played with.

    `publish` puts an image there that runs `args`; `withdraw` takes it out of reach.
    """

    images: ImageSource
    source: str
    publish: Callable[[Sequence[str]], object]
    withdraw: Callable[[], object]


class ImagePromises:
    """The promises."""

    async def test_an_image_is_whole(self, stage: Stage) -> None:
        """Its tree and its process are there, and nothing has to be said of it."""
        stage.publish(["sleep", "7"])
        image = await stage.images.get(stage.source)

        assert (image.rootfs / "bin/busybox").is_file()
        assert image.process.args == ("sleep", "7")
        assert "PATH=/bin" in image.process.env
        assert image.digest.startswith("sha256:")
        assert not image.note

    async def test_it_is_unpacked_once(self, stage: Stage) -> None:
        """Several at once and one later get the same tree."""
        stage.publish(["sleep", "7"])
        found = await asyncio.gather(
            *(stage.images.get(stage.source, container=str(one)) for one in range(3))
        )
        (found[0].rootfs / "mark").touch()
        again = await stage.images.get(stage.source)

        assert {image.rootfs for image in found} == {again.rootfs}
        assert (again.rootfs / "mark").exists()

    async def test_what_moves_is_another_image(self, stage: Stage) -> None:
        """A source that means something else now gives that."""
        stage.publish(["sleep", "7"])
        one = await stage.images.get(stage.source)
        stage.publish(["sleep", "8"])
        other = await stage.images.get(stage.source)

        assert one.digest != other.digest
        assert other.process.args == ("sleep", "8")

    async def test_the_last_good_one_stands_in(self, stage: Stage) -> None:
        """When the source is out of reach, the last good image starts, and a sentence says so."""
        stage.publish(["sleep", "7"])
        one = await stage.images.get(stage.source, container="admin")
        stage.images.good("admin")
        stage.withdraw()
        again = await stage.images.get(stage.source, container="admin")

        assert (again.digest, again.rootfs) == (one.digest, one.rootfs)
        assert one.digest in again.note
        assert "because" in again.note

    async def test_a_bad_one_does_not_become_the_last_good(self, stage: Stage) -> None:
        """What was good stays the last good one, whatever came later and was not."""
        stage.publish(["sleep", "7"])
        one = await stage.images.get(stage.source, container="admin")
        stage.images.good("admin")
        stage.publish(["sleep", "8"])
        await stage.images.get(stage.source, container="admin")
        stage.withdraw()

        assert (await stage.images.get(stage.source, container="admin")).digest == one.digest

    async def test_without_a_good_one_there_is_an_error(self, stage: Stage) -> None:
        """What was never there cannot be had; one line says so."""
        stage.publish(["sleep", "7"])
        stage.withdraw()
        with pytest.raises(SheltieError) as caught:
            await stage.images.get(stage.source, container="admin")
        assert not isinstance(caught.value, UsageError)
        assert caught.value.code != "FAILED"

    async def test_one_that_was_never_proven_stands_in(self, stage: Stage) -> None:
        """Better what ran once than nothing."""
        stage.publish(["sleep", "7"])
        one = await stage.images.get(stage.source, container="admin")
        stage.withdraw()
        again = await stage.images.get(stage.source, container="admin")

        assert again.digest == one.digest
        assert one.digest in again.note

    @pytest.mark.parametrize("args", [["nonsense"], ["/bin/nonsense"], []])
    async def test_a_missing_program_is_found_out(self, stage: Stage, args: list[str]) -> None:
        """Before anything is started; the settings may name another one."""
        stage.publish(args)
        with pytest.raises(FailedError) as caught:
            await stage.images.get(stage.source)
        assert caught.value.code == "IMAGE_INCOMPLETE"
        await stage.images.get(stage.source, command=["sleep", "7"])

    async def test_what_the_settings_want_is_looked_for_too(self, stage: Stage) -> None:
        """A command that the image does not have."""
        stage.publish(["sleep", "7"])
        with pytest.raises(FailedError) as caught:
            await stage.images.get(stage.source, command=["nonsense"])
        assert caught.value.code == "IMAGE_INCOMPLETE"

    async def test_no_source_is_the_settings_fault(self, stage: Stage) -> None:
        """Nothing but another setting helps."""
        for source in (None, ""):
            with pytest.raises(UsageError):
                await stage.images.get(source)

    async def test_what_is_needed_is_kept(self, stage: Stage) -> None:
        """What runs, what was good and what was handed out last stay; the rest goes."""
        digests = []
        for number in range(4):
            stage.publish(["sleep", str(number)])
            image = await stage.images.get(stage.source, container="admin")
            digests.append(image.digest)
            if number == 1:
                stage.images.good("admin")
        running, good, gone, handed = digests
        removed = await stage.images.collect({"admin": running})
        assert removed == [gone]
        assert await stage.images.collect({"admin": running}) == []
        removed = await stage.images.collect({})

        assert sorted(removed) == sorted([running, good, handed])
