"""The whole way, to be killed in the middle: `python -m tests.host.update.whole PLACE URL`."""

import asyncio
import sys
from pathlib import Path

from contract.settings import Updates
from host.update.seam import Progress
from tests.host.update.disk import Attached, image


async def main(place: Path, url: str) -> None:
    """Say when it begins, and go the whole way."""
    engine = Attached(place).engine()
    settings, new = Updates(metadata_base_url=url), image("1.1.0")
    sys.stdout.write("begin\n")
    sys.stdout.flush()
    await engine.available(settings)
    await engine.prepare(new, settings, Progress())
    await engine.activate(new)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
