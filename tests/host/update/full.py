"""An update where there is no room: `python -m tests.host.update.full esp|updates PLACE URL`.

In a mount namespace of its own, so that the small disk is nobody else's. Prints the error's code,
what boots, and how a retry with room ended.
"""

import asyncio
import shutil
import sys
from pathlib import Path

from contract.errors import SheltieError
from contract.settings import Updates
from dev import kernel
from host.update.seam import Progress, Standing
from tests.host.update.disk import Attached, image

MEGABYTES = {"esp": 0.1, "updates": 18}


async def main(what: str, place: Path, url: str) -> None:
    """Fill one place; try; make room; try again."""
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    small, held = place / what, place / "held"
    shutil.copytree(small, held)
    options = f"size={int(MEGABYTES[what] * (1 << 20))},mode=0700"
    kernel.mount("tmpfs", str(small), "tmpfs", data=options)
    shutil.copytree(held, small, dirs_exist_ok=True)
    settings, new = Updates(metadata_base_url=url), image("1.1.0")
    engine = Attached(place).engine()
    await engine.available(settings)
    try:
        await engine.prepare(new, settings, Progress())
    except SheltieError as error:
        say(error.code)
    slots = await engine.slots()
    say("something" if slots.others else slots.running.version)
    kernel.mount("none", str(small), flags=kernel.MS_REMOUNT, data="size=64m,mode=0700")
    await engine.prepare(new, settings, Progress())
    await engine.activate(new)
    is_next = (await engine.slots()).version(Standing.NEXT) == new
    say("retried", "NEXT" if is_next else "not next")


def say(*words: str) -> None:
    """Print a line."""
    sys.stdout.write(" ".join(words) + "\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
