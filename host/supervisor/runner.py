"""One container's life from image to clean-up, with no opinion on when: the steps themselves."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from contract.execwire import Size
from host.desired import ExecProcess
from host.image.seam import Image, ImageSource
from host.runtime import facts, made, rootfs, shape
from host.runtime.cgroups import Cgroups
from host.runtime.files import Files
from host.runtime.made import Made
from host.runtime.seam import Runtime, Task
from host.store.transactions import utc_now
from host.supervisor import userdata
from host.supervisor.plan import Spec

__all__ = ["ContainerRunner", "Runner"]


class Runner(Protocol):
    """What the worker drives."""

    def user_data(self) -> bytes | None:
        """Return what is in the user-data file."""

    async def write_user_data(self, data: bytes) -> None:
        """Replace the user-data file. Raises SheltieError."""

    async def start(self, spec: Spec, restarts: int, last_exit: int | None) -> tuple[Task, Made]:
        """Start the container anew. Raises SheltieError; then nothing of it is left."""

    async def find(self) -> tuple[Task | None, Made | None]:
        """Return what another daemon left: a running container or none, and what it was made of."""

    def last_exit(self) -> int | None:
        """Return the exit status of the last run, as far as one was left."""

    async def clean(self) -> None:
        """Remove all but the persistent directory and the log; idempotent. Raises SheltieError."""

    async def exec(self, command: Sequence[bytes], size: Size | None) -> ExecProcess:
        """Start a command in the running container. Raises FailedError (EXEC_FAILED)."""


class ContainerRunner:
    """The runner of real containers. `runtimes` gives a runtime by name, "" the chosen one."""

    def __init__(
        self,
        files: Files,
        runtimes: Callable[[str], Runtime],
        images: ImageSource,
        cgroups: Cgroups,
    ) -> None:
        self._files = files
        self._runtimes = runtimes
        self._runtime = runtimes("")
        self._images = images
        self._cgroups = cgroups

    def user_data(self) -> bytes | None:
        """Return what is in the user-data file."""
        return userdata.read(self._files.user_data)

    async def write_user_data(self, data: bytes) -> None:
        """Replace the user-data file."""
        await asyncio.to_thread(userdata.write, self._files.user_data, data)

    async def start(self, spec: Spec, restarts: int, last_exit: int | None) -> tuple[Task, Made]:
        """Unpack, mount, configure, run."""
        image = await self._images.get(
            spec.source, container=self._files.name, command=spec.command
        )
        await self.clean()
        self._runtime = self._runtimes("")
        self._files.make()
        await asyncio.to_thread(rootfs.mount, image.rootfs, self._files)
        try:
            config = shape.config(
                self._wish(spec, image), facts.read(filtered=not spec.superpowered)
            )
            known = Made(
                self._runtime.name,
                spec.source,
                spec.superpowered,
                spec.command,
                image.digest,
                utc_now(),
                restarts,
                last_exit,
                spec.environment,
            )
            # Before it runs: whoever finds it running knows what it was made of.
            made.save(self._files, known)
            task = await self._runtime.run(self._files, config)
        except BaseException:
            await self.clean()
            raise
        return task, known

    async def find(self) -> tuple[Task | None, Made | None]:
        """Look for a running container, by the runtime that started it."""
        known = made.load(self._files)
        if known is not None:
            self._runtime = self._runtimes(known.runtime)
        return await self._runtime.find(self._files), known

    def last_exit(self) -> int | None:
        """Return what conmon left."""
        return self._runtime.last_exit(self._files)

    async def clean(self) -> None:
        """Kill, delete, unmount."""
        await self._runtime.delete(self._files)
        await asyncio.to_thread(rootfs.unmount, self._files)

    async def exec(self, command: Sequence[bytes], size: Size | None) -> ExecProcess:
        """Start a command."""
        return await self._runtime.exec(self._files, command, size=size)

    def _wish(self, spec: Spec, image: Image) -> shape.Wish:
        process = image.process
        if spec.command:
            # The setting stands for entrypoint and arguments both.
            process = shape.ImageProcess(spec.command, process.env, process.cwd, process.user)
        return shape.Wish(
            self._files.name,
            spec.superpowered,
            process,
            str(self._files.rootfs),
            self._cgroups.path(self._files.name),
            str(self._files.persistent),
            str(self._files.api),
            spec.environment,
        )
