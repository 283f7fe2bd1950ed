"""Containers for tests: a tiny image, a place in a short directory, and what is left afterwards."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contract.status import Limits
from host.desired import ExecProcess
from host.image.images import Images
from host.runtime import facts, probe, rootfs, shape
from host.runtime.cgroups import Cgroups
from host.runtime.entry import FACTS
from host.runtime.files import Files
from host.runtime.limits import UNLIMITED
from tests.host.image import tiny

__all__ = ["Bench", "everything", "output_of", "settled"]

_BURIED_SECONDS = 10.0


async def output_of(process: ExecProcess) -> tuple[bytes, int]:
    """Return what a process writes to its end, and its exit status."""

    def read() -> bytes:
        found = bytearray()
        try:
            while data := os.read(process.output, 1 << 16):
                found += data
        except OSError:  # a terminal's end
            pass
        return bytes(found)

    output, status = await asyncio.gather(asyncio.to_thread(read), process.wait())
    await process.end()
    return output, status


def everything() -> dict[str, list[str]]:
    """Return the host's mounts, cgroups of ours and processes, to compare before and after."""
    own = str(os.getpid())
    pids = [path for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return {
        "mounts": sorted(
            line.split(" ", 4)[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()
        ),
        "cgroups": sorted(str(path) for path in Path("/sys/fs/cgroup").glob("**/sheltie*")),
        "processes": sorted(path.name for path in pids if path.name != own),
    }


def settled(before: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return everything() as soon as it is as before, and at the latest after some seconds.

    What was killed is buried a moment later, on a busy machine.
    """
    end = time.monotonic() + _BURIED_SECONDS
    while (found := everything()) != before and time.monotonic() < end:
        time.sleep(0.02)
    return found


class Bench:
    """A state directory, a run directory, the tiny image, and one runtime."""

    def __init__(self, state: Path, run: Path, runtime: str) -> None:
        self.state, self.run = state, run
        tiny.write(state / "layout")
        mountinfo = Path("/proc/self/mountinfo").read_text()
        self.cgroups = Cgroups.of(state, mountinfo)
        self.runtime = probe.make(FACTS[runtime], run, self.cgroups)

    @classmethod
    @contextmanager
    def set_up(cls, state: Path, runtime: str) -> Iterator["Bench"]:
        """Make one, and remove its run directory afterwards."""
        run = Path(tempfile.mkdtemp(prefix="t", dir="/run"))
        try:
            yield cls(state, run, runtime)
        finally:
            shutil.rmtree(run)

    def files(self, name: str) -> Files:
        """Return the places of a container."""
        return Files(self.state, self.run, name)

    async def prepare(
        self,
        name: str,
        args: Sequence[str],
        *,
        superpowered: bool = False,
        limits: Limits = UNLIMITED,
    ) -> dict[str, Any]:
        """Mount a root and return the configuration that runs `args` in it."""
        files = self.files(name)
        image = await Images(self.state, self.run).get(f"oci:{self.state}/layout")
        files.make()
        rootfs.mount(image.rootfs, files)
        process = shape.ImageProcess(tuple(args), image.process.env, "/", image.process.user)
        wish = shape.Wish(
            name,
            superpowered,
            process,
            str(files.rootfs),
            self.cgroups.path(name),
            str(files.persistent),
            str(files.api),
            limits=limits,
            certificates=str(files.certificates),
        )
        return shape.config(wish, facts.read(filtered=not superpowered))

    async def clear(self, name: str) -> None:
        """Remove the container and its root."""
        await self.runtime.delete(self.files(name))
        rootfs.unmount(self.files(name))
