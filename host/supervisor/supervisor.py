"""All host containers together: what the API and the daemon hold in their hands."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from contract.durable import ensure_directory
from contract.errors import FailedError, NotFoundError, SheltieError
from contract.execwire import Size
from contract.settings import CONTAINER_NAME
from contract.status import ContainerState, ContainerStatus
from host.desired import Desired, ExecProcess
from host.image.access import RegistryAccess
from host.image.images import Images
from host.runtime import execs, probe
from host.runtime.cgroups import Cgroups
from host.runtime.files import Files
from host.runtime.oci import FACTS, OciRuntime
from host.runtime.seam import Runtime
from host.supervisor.clock import Clock, RealClock
from host.supervisor.runner import ContainerRunner, Runner
from host.supervisor.worker import GRACE_SECONDS, Worker, unobserved

__all__ = ["Supervisor"]

_MOUNTINFO: Final = Path("/proc/self/mountinfo")


class Supervisor:
    """The containers of one daemon. State lies in `state`, scratch in `run`, a short path.

    `runtime` is `auto`, `crun` or `runc` before `start`, and the one that was chosen after it.
    `access` says at each pull how registries are reached.
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
    ) -> None:
        self.runtime = runtime
        self._state, self._run = state, run
        self._clock = clock or RealClock()
        self._grace = grace
        self._observe = observe
        self._images = Images(state, run, access)
        self._cgroups = Cgroups.of(state, "")
        self._chosen: Runtime | None = None
        self._workers: dict[str, Worker] = {}
        self._lives: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Find the runtime, and take over what a former daemon left. Raises MachineError."""
        self._cgroups = Cgroups.of(self._state, _MOUNTINFO.read_text())
        ensure_directory(self._state / "containers")
        await asyncio.to_thread(self._images.sweep)
        execs.sweep(self._run)
        self._chosen = await probe.choose(self.runtime, self._run, self._cgroups)
        self.runtime = self._chosen.name
        left = [path.name for path in sorted((self._state / "containers").iterdir())]
        workers = [self._worker(name) for name in left if CONTAINER_NAME.fullmatch(name)]
        await asyncio.gather(*(worker.adopt() for worker in workers))
        for worker in workers:
            self._live(worker)

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
        for life in self._lives:
            life.cancel()
        if self._lives:
            await asyncio.wait(self._lives)
        for worker in self._workers.values():
            await worker.close()
        await self._images.close()

    def _worker(self, name: str) -> Worker:
        runner: Runner = ContainerRunner(
            Files(self._state, self._run, name), self._runtime_named, self._images, self._cgroups
        )
        worker = Worker(name, runner, self._clock, self._grace, observe=self._observe)
        self._workers[name] = worker
        return worker

    def _live(self, worker: Worker) -> None:
        life = asyncio.create_task(worker.run(), name=f"container {worker.name}")
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)

    def _runtime_named(self, name: str) -> Runtime:
        """Return the runtime of that name where it is installed, else the chosen one."""
        if self._chosen is None:
            raise RuntimeError("start() comes first")
        if name in FACTS and name != self._chosen.name:
            with contextlib.suppress(SheltieError):
                return OciRuntime(FACTS[name], self._run, self._cgroups)
        return self._chosen
