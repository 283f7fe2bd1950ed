"""Twins for the supervisor's tests: a runner whose container is a future, and a clock by hand."""

import asyncio
from collections.abc import Sequence

from contract.errors import SheltieError
from contract.execwire import Size
from host.desired import ExecProcess
from host.image.seam import Tell
from host.runtime.made import Made
from host.runtime.usage import Usage
from host.supervisor.plan import Spec

__all__ = ["HandClock", "TwinRunner", "TwinTask"]


class HandClock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.time = 1000.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> float:
        """Return the time."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Wait until enough time has been let pass."""
        until, done = self.time + seconds, asyncio.Event()
        self._sleepers.append((until, done))
        if seconds > 0:
            await done.wait()

    async def forward(self, seconds: float) -> None:
        """Let time pass, and those who waited for it go on until they wait again."""
        self.time += seconds
        for until, done in self._sleepers:
            if until <= self.time:
                done.set()
        self._sleepers = [one for one in self._sleepers if not one[1].is_set()]
        await quiet()


async def quiet() -> None:
    """Let every task go on until all of them wait."""
    for _ in range(50):
        await asyncio.sleep(0)


class TwinTask:
    """A container that ends when it is told to, and minds TERM unless `deaf`."""

    def __init__(self, pid: int, *, deaf: bool = False) -> None:
        self.pid = pid
        self.deaf = deaf
        self.signals: list[int] = []
        self.closed = False
        self._status: int | None = None
        self._ended = asyncio.Event()

    def end(self, status: int | None) -> None:
        """End it with an exit status."""
        if not self._ended.is_set():
            self._status = status
            self._ended.set()

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return not self._ended.is_set()

    async def wait(self) -> int | None:
        """Return the exit status."""
        await self._ended.wait()
        return self._status

    def kill(self, number: int) -> None:
        """Take a signal."""
        self.signals.append(number)
        if number == 9 or not self.deaf:
            self.end(128 + number)

    def close(self) -> None:
        """Note it."""
        self.closed = True


class TwinRunner:
    """Steps that are only noted. `refuse` is raised by the next starts, as often as it says."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.tasks: list[TwinTask] = []
        self.data: bytes | None = None
        self.deaf = False
        self.refuse: list[Exception] = []
        self.stuck: list[SheltieError] = []
        self.unwritable: SheltieError | None = None
        self.left: tuple[TwinTask | None, Made | None] = (None, None)
        self.left_exit: int | None = None
        self.certificates = b""
        self.blind: list[SheltieError] = []
        self.used = Usage()
        self.kills = 0
        self.says: list[str] = []
        self.good = 0

    @property
    def task(self) -> TwinTask:
        """The last container."""
        return self.tasks[-1]

    def user_data(self) -> bytes | None:
        """Return what was written."""
        return self.data

    async def write_user_data(self, data: bytes) -> None:
        """Write."""
        if self.unwritable is not None:
            raise self.unwritable
        self.log.append("write")
        self.data = data

    async def start(
        self, spec: Spec, restarts: int, last_exit: int | None, certificates: bytes, tell: Tell
    ) -> tuple[TwinTask, Made]:
        """Start."""
        self.log.append("start")
        for words in self.says:
            tell(words)
            await asyncio.sleep(0)
        self.certificates = certificates
        if self.refuse:
            raise self.refuse.pop(0)
        self.tasks.append(TwinTask(100 + len(self.tasks), deaf=self.deaf))
        return self.task, made(spec, restarts, last_exit)

    def proven(self) -> None:
        """Count."""
        self.good += 1

    async def write_certificates(self, certificates: bytes) -> None:
        """Write."""
        self.log.append("certificates")
        self.certificates = certificates

    def usage(self) -> Usage:
        """Return what a test says."""
        return self.used

    def memory_kills(self) -> int:
        """Return what a test says."""
        return self.kills

    async def find(self) -> tuple[TwinTask | None, Made | None]:
        """Return what was left."""
        if self.blind:
            raise self.blind.pop(0)
        if self.left[0] is not None:
            self.tasks.append(self.left[0])
        return self.left

    def last_exit(self) -> int | None:
        """Return what was left."""
        return self.left_exit

    async def clean(self) -> None:
        """Clean up: kills what is left."""
        self.log.append("clean")
        if self.stuck:
            raise self.stuck.pop(0)
        for task in self.tasks:
            task.end(137)

    async def exec(self, command: Sequence[bytes], size: Size | None) -> ExecProcess:
        """Never asked for here."""
        raise NotImplementedError


def made(spec: Spec, restarts: int = 0, last_exit: int | None = None) -> Made:
    """Return what a twin's container is made of."""
    since = "2026-01-01T00:00:00Z"
    return Made(
        "twin",
        spec.source,
        spec.superpowered,
        spec.command,
        "sha256:0",
        since,
        restarts,
        last_exit,
        spec.environment,
    )
