"""Images on a small disk: `python -I -m tests.host.image.full DIRECTORY MEGABYTES PORT STEP…`.

Run in a mount namespace of its own. A step is a source on disk, or `PATH@DIGEST` in the registry at
PORT, which is got as container `admin`; with a `+` before it the disk is filled to the brim when
its pull is in the middle. `good` proves the last one; `=FROM=TO` renames; after `ro` a new daemon
finds a read-only disk. What came of each source, and what lies there then, is one line of JSON.
"""

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path

from contract.errors import SheltieError
from dev import kernel
from host.image.images import Images
from tests.host.image.conftest import LIMITS, plain
from tests.host.image.wire import Wire

__all__ = ["main"]

MIDDLE = 2_000_000


async def main(directory: Path, megabytes: str, port: str, steps: list[str]) -> None:
    """Mount the disk, and take one step after the other."""
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", str(directory), "tmpfs", data=f"size={megabytes}m,mode=0700")
    async with Wire.to(int(port)) as wire:
        place = f"127.0.0.1:{wire.port}"
        images = Images(directory, directory.with_name("run"), lambda: plain(place), LIMITS)
        images.sweep()
        for step in steps:
            if step == "good":
                images.good("admin")
            elif step == "ro":
                readonly = kernel.MS_REMOUNT | kernel.MS_RDONLY
                kernel.mount("none", str(directory), flags=readonly)
                images = Images(directory, directory.with_name("run"), lambda: plain(place), LIMITS)
                images.sweep()
            elif step.startswith("="):
                os.rename(*step[1:].split("="))  # noqa: PTH104  replaces
            else:
                said = await got(images, step, wire, directory)
                home = directory / "images"
                said["left"] = sorted(path.name for path in home.iterdir())
                said["blobs"] = len(list((home / "blobs/sha256").glob("*")))
                sys.stdout.write(json.dumps(said) + "\n")
        await images.close()


async def got(images: Images, step: str, wire: Wire, directory: Path) -> dict[str, object]:
    """Get a source and return what came of it."""
    name = step.removeprefix("+")
    source = name if name.startswith("oci") else f"127.0.0.1:{wire.port}/{name}"
    task = asyncio.create_task(images.get(source, container="admin"))
    filling = directory / "filling"
    if step.startswith("+"):
        wire.arm("stall", MIDDLE)
        await wire.reached.wait()
        with filling.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(1 << 16)):
                pass
        wire.disarm()
    try:
        image = await task
    except SheltieError as error:
        return {"code": error.code, "line": error.line()}
    finally:
        if filling.exists():
            filling.unlink()
    return {"digest": image.digest, "note": image.note}


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]))
