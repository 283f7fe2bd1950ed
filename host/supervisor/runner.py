"""One container's life from image to clean-up, with no opinion on when: the steps themselves."""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from contract.errors import SheltieError
from contract.execwire import Size
from host.callers import ADMIN
from host.desired import ExecProcess
from host.image.seam import Image, ImageSource, Tell
from host.runtime import facts, limits, made, rootfs, shape, usage
from host.runtime.cgroups import Cgroups
from host.runtime.files import Files
from host.runtime.made import Made
from host.runtime.seam import Runtime, Task
from host.runtime.usage import Usage
from host.store.transactions import utc_now
from host.supervisor import certificates as bundle
from host.supervisor import userdata
from host.supervisor.plan import Spec

__all__ = ["ContainerRunner", "Runner"]


class Runner(Protocol):
    """What the worker drives."""

    def user_data(self) -> bytes | None:
        """Return what is in the user-data file."""

    async def write_user_data(self, data: bytes) -> None:
        """Replace the user-data file. Raises SheltieError."""

    async def start(
        self, spec: Spec, restarts: int, last_exit: int | None, certificates: bytes, tell: Tell
    ) -> tuple[Task, Made]:
        """Start the container anew. Raises SheltieError; then nothing of it is left.

        `tell` hears what takes its time.
        """

    def proven(self) -> None:
        """Note that what it runs from is good: it has run for long enough."""

    async def write_certificates(self, certificates: bytes) -> None:
        """Let a running container find these besides the host's own. Raises SheltieError."""

    def usage(self) -> Usage:
        """Return what it uses."""

    def memory_kills(self) -> int:
        """Return how many processes of this run were killed because its memory was at an end."""

    async def find(self) -> tuple[Task | None, Made | None]:
        """Return what another daemon left: a running container or none, and what it was made of."""

    def last_exit(self) -> int | None:
        """Return the exit status of the last run, as far as one was left."""

    async def clean(self) -> None:
        """Remove all but the persistent directory and the log; idempotent. Raises SheltieError."""

    async def exec(self, command: Sequence[bytes], size: Size | None) -> ExecProcess:
        """Start a command in the running container. Raises FailedError (EXEC_FAILED)."""


class ContainerRunner:
    """The runner of real containers. `runtimes` gives a runtime by name, "" the chosen one.

    That one, and what `cgroups` can limit, need not be known before the first step.
    """

    def __init__(
        self,
        files: Files,
        runtimes: Callable[[str], Runtime],
        images: ImageSource,
        cgroups: Callable[[], Cgroups],
    ) -> None:
        self._files = files
        self._runtimes = runtimes
        self._made_by = ""
        self._images = images
        self._cgroups = cgroups
        self._runs = False
        self._unwritten: bytes | None = None

    @property
    def _runtime(self) -> Runtime:
        return self._runtimes(self._made_by)

    def user_data(self) -> bytes | None:
        """Return what is in the user-data file, or waits for a directory that can be written to."""
        if self._unwritten is not None:
            return self._unwritten
        return userdata.read(self._files.user_data)

    async def write_user_data(self, data: bytes) -> None:
        """Replace the user-data file. What STATE does not take comes with the start, in RUN."""
        try:
            await asyncio.to_thread(userdata.write, self._files.user_data, data)
        except SheltieError:
            if self._runs or not self._files.unwritable():
                raise
            self._unwritten = data
        else:
            self._unwritten = None

    async def start(
        self, spec: Spec, restarts: int, last_exit: int | None, certificates: bytes, tell: Tell
    ) -> tuple[Task, Made]:
        """Bring and unpack, mount, configure, run."""
        image = await self._images.get(
            spec.source, container=self._files.name, command=spec.command, tell=tell
        )
        await self.clean()
        self._made_by = ""
        notes = (image.note, await asyncio.to_thread(self._settle))
        self._files.make()
        await self.write_certificates(certificates)
        await asyncio.to_thread(rootfs.mount, image.rootfs, self._files)
        try:
            if self._unwritten is not None:
                await self.write_user_data(self._unwritten)
            wish = self._wish(spec, image)
            config = shape.config(wish, facts.read(filtered=not spec.superpowered))
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
                wish.limits,
                "; ".join(filter(None, notes)),
            )
            # Before it runs: whoever finds it running knows what it was made of.
            made.save(self._files, known)
            task = await self._runtime.run(self._files, config)
        except BaseException:
            await self.clean()
            raise
        self._runs = True
        return task, known

    def proven(self) -> None:
        """Let the image be what stands in when a later one cannot be had."""
        self._images.good(self._files.name)

    def _settle(self) -> str:
        """Choose where the files lie; return the sentence about a STATE that cannot be used."""
        self._files = replace(self._files, spare=False)
        why = self._files.unwritable()
        if not why and self._unwritten is None:
            return ""
        self._files = replace(self._files, spare=True)
        return f"what it keeps now ends with it: {why or 'user-data could not be written'}"

    async def write_certificates(self, certificates: bytes) -> None:
        """Replace the bundle where it is another one."""
        await asyncio.to_thread(bundle.write, self._files.certificates, certificates)

    def usage(self) -> Usage:
        """Read its cgroups."""
        return usage.read(self._cgroups().places(self._files.name))

    def memory_kills(self) -> int:
        """Read its cgroups."""
        return usage.memory_kills(self._cgroups().below(self._files.name))

    async def find(self) -> tuple[Task | None, Made | None]:
        """Look for a running container, by the runtime that started it."""
        known = made.load(self._files)
        if known is not None:
            self._made_by = known.runtime
        task = await self._runtime.find(self._files)
        self._runs = task is not None
        return task, known

    def last_exit(self) -> int | None:
        """Return what conmon left."""
        return self._runtime.last_exit(self._files)

    async def clean(self) -> None:
        """Kill, delete, unmount."""
        await self._runtime.delete(self._files)
        self._runs = False
        await asyncio.to_thread(rootfs.unmount, self._files)
        if self._files.spare:
            await asyncio.to_thread(shutil.rmtree, self._files.home, ignore_errors=True)
            self._files = replace(self._files, spare=False)

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
            self._cgroups().path(self._files.name),
            str(self._files.persistent),
            str(self._files.api),
            spec.environment,
            limits.kept(
                limits.limits(facts.size(), superpowered=spec.superpowered),
                self._cgroups().controllers,
            ),
            protected=self._files.name == ADMIN,
            certificates=str(self._files.certificates),
        )
