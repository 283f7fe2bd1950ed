"""All host containers together: what the API and the daemon hold in their hands."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from contract.errors import FailedError, NotFoundError, SheltieError
from contract.event import Event
from contract.execwire import Size
from contract.settings import CONTAINER_NAME
from contract.status import ContainerState, ContainerStatus
from host.desired import Desired, ExecProcess
from host.image.access import RegistryAccess
from host.image.images import Images
from host.logline import event
from host.runtime import execs, limits, probe
from host.runtime.cgroups import Cgroups
from host.runtime.entry import FACTS
from host.runtime.files import Files
from host.runtime.oci import OciRuntime
from host.runtime.seam import Runtime
from host.supervisor.clock import Clock, RealClock
from host.supervisor.runner import ContainerRunner, Runner
from host.supervisor.worker import GRACE_SECONDS, Worker, unobserved

__all__ = ["Supervisor"]

_MOUNTINFO: Final = Path("/proc/self/mountinfo")
READY_SECONDS: Final = 5.0
"""How long the API may stay away because a runtime is slow."""
AGAIN_SECONDS: Final = 45.0
"""Between two attempts to find a runtime on a host that was too slow for the first."""
_SLOW: Final = "the container runtime has not answered yet"
_log = logging.getLogger("host.supervisor")


class Supervisor:
    """The containers of one daemon. State lies in `state`, scratch in `run`, a short path.

    `problems` are sentences about what containers here have to do without.
    `runtime` is `auto`, `crun`, `runc` or `podman` before `start`, and the chosen one after it.
    `access` says at each pull how registries are reached; `note` hears what the audit is to tell.
    """

    def __init__(
        self,
        state: Path,
        run: Path,
        runtime: str = "auto",
        *,
        clock: Clock | None = None,
        grace: float = GRACE_SECONDS,
        access: Callable[[], RegistryAccess] = RegistryAccess,
        observe: Callable[[ContainerStatus], None] = unobserved,
        note: Callable[[Event], object] = lambda _event: None,
    ) -> None:
        self.runtime = runtime
        self.problems: Sequence[str] = ()
        self._state, self._run = state, run
        self._clock = clock or RealClock()
        self._grace = grace
        self._observe = observe
        self._images = Images(state, run, access, note=note)
        self._cgroups = Cgroups.of(state, "")
        self._chosen: Runtime | None = None
        self._ready: asyncio.Task[None] | None = None
        self._workers: dict[str, Worker] = {}
        self._lives: set[asyncio.Task[None]] = set()
        self._collecting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Find the runtime, and take over what a former daemon left. Raises MachineError.

        A runtime that takes long does not hold up the daemon: after READY_SECONDS that goes on by
        itself, and each container says what it waits for.
        """
        self._cgroups = Cgroups.of(self._state, _MOUNTINFO.read_text()).delegated()
        with contextlib.suppress(SheltieError):  # a directory that is full or read-only is no end
            await asyncio.to_thread(self._images.sweep)
        execs.sweep(self._run)
        workers = [self._worker(name) for name in self._left()]
        self._ready = asyncio.create_task(self._take_over(workers), name="taking over")
        await asyncio.wait({self._ready}, timeout=READY_SECONDS)
        if self._ready.done():
            self._ready.result()
        else:
            self._tell(_SLOW)
        for worker in workers:
            self._live(worker)

    def _tell(self, problem: str) -> None:
        """Say of the host, and of each container, what is waited for."""
        _log.warning(event("waiting", what=problem))
        self.problems = (problem,)
        for worker in self._workers.values():
            worker.wait(problem)

    def _left(self) -> Sequence[str]:
        """Return the names of the containers that a former daemon knew."""
        homes = self._state / "containers", self._run / "spare"
        found = {path.name for home in homes if home.is_dir() for path in home.iterdir()}
        return sorted(name for name in found if CONTAINER_NAME.fullmatch(name))

    async def _take_over(self, workers: Sequence[Worker]) -> None:
        chosen = await self._choose()
        self._chosen, self._cgroups, self.runtime = chosen, chosen.cgroups, chosen.name
        lacking = limits.lacking(self._cgroups.controllers)
        self.problems = (lacking,) if lacking else ()
        # One that cannot be told about yet asks again by itself.
        await asyncio.gather(*(worker.adopt() for worker in workers), return_exceptions=True)

    async def _choose(self) -> OciRuntime:
        while True:
            try:
                return await probe.choose(self.runtime, self._run, self._cgroups)
            except SheltieError as error:
                # Whoever starts the daemon hears of it. Later it is up, and the host may get well.
                if not self.problems:
                    raise
                self._tell(error.line())
            await self._clock.sleep(AGAIN_SECONDS)

    async def apply(self, desired: Mapping[str, Desired]) -> None:
        """Take note of what is wanted and return at once. What is not named is not wanted."""
        for name in desired.keys() - self._workers.keys():
            self._live(self._worker(name))
        for name, worker in self._workers.items():
            worker.want(desired.get(name, Desired(name)))

    def status(self) -> Sequence[ContainerStatus]:
        """Return the state of every container, by name."""
        return [worker.status() for _, worker in sorted(self._workers.items())]

    async def exec(self, name: str, command: Sequence[bytes], *, size: Size | None) -> ExecProcess:
        """Start `command` in container `name`.

        Raises NotFoundError (CONTAINER_NOT_RUNNING), FailedError (EXEC_FAILED).
        """
        worker = self._workers.get(name)
        if worker is None:
            raise NotFoundError(f"container '{name}' is not running", code="CONTAINER_NOT_RUNNING")
        return await worker.exec(command, size)

    async def settled(self, names: Iterable[str] | None = None) -> None:
        """Return once all that can be done now is done: for these containers, or for every one."""
        chosen = set(self._workers if names is None else names)
        workers = [worker for name, worker in self._workers.items() if name in chosen]
        await asyncio.gather(*(worker.settled() for worker in workers))

    async def stop_all(self) -> None:
        """Stop every container and return when all are gone. Raises FailedError."""
        if self._ready is not None and not self._ready.done():
            raise FailedError(_SLOW, hint="try again later", code="CONTAINER_STUCK")
        for name, worker in self._workers.items():
            # Nothing else is to be done any more, nor to fail.
            worker.want(replace(worker.desired or Desired(name), enabled=False, user_data=None))
        await self.settled()
        left = [
            one.reason or one.name
            for one in self.status()
            if one.state is not ContainerState.DISABLED
        ]
        if left:
            raise FailedError("; ".join(left), code="CONTAINER_STUCK")

    async def close(self) -> None:
        """Let go; containers stay."""
        others = [task for task in (self._ready, self._collecting) if task is not None]
        ending = {*self._lives, *others}
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending)
        for worker in self._workers.values():
            await worker.close()
        await self._images.close()

    def _worker(self, name: str) -> Worker:
        runner: Runner = ContainerRunner(
            Files.of(self._state, self._run, name),
            self._runtime_named,
            self._images,
            lambda: self._cgroups,
        )
        worker = Worker(
            name,
            runner,
            self._clock,
            self._grace,
            observe=self._observe,
            proven=self._collect,
        )
        self._workers[name] = worker
        return worker

    def _collect(self) -> None:
        """Remove images that nobody needs any more: a container has proven what it runs from."""
        if self._collecting is None or self._collecting.done():
            self._collecting = asyncio.create_task(self._collected(), name="collecting images")

    async def _collected(self) -> None:
        try:
            gone = await self._images.collect({one.name: one.digest for one in self.status()})
        except SheltieError as error:
            _log.warning(event("images-stay", why=error.line()))
        else:
            for digest in gone:
                _log.info(event("image-removed", digest=digest))

    def _live(self, worker: Worker) -> None:
        life = asyncio.create_task(self._life(worker), name=f"container {worker.name}")
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)

    async def _life(self, worker: Worker) -> None:
        if self._ready is None:
            raise RuntimeError("start() comes first")
        if not self._ready.done():
            worker.wait(self.problems[0] if self.problems else _SLOW)
        await asyncio.shield(self._ready)
        await worker.run()

    def _runtime_named(self, name: str) -> Runtime:
        """Return the runtime of that name where it is installed, else the chosen one."""
        if self._chosen is None:
            raise RuntimeError("start() comes first")
        if name in FACTS and name != self._chosen.name:
            with contextlib.suppress(SheltieError):
                return probe.make(FACTS[name], self._run, self._cgroups)
        return self._chosen
