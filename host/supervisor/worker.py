"""One container kept as wanted: a task of its own, so that a bad one never holds up another."""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from contract.errors import NotFoundError, SheltieError, UsageError
from contract.execwire import Size
from contract.status import ContainerState, ContainerStatus
from host.desired import Desired, ExecProcess
from host.logline import event
from host.runtime.made import Made
from host.runtime.seam import Task
from host.runtime.usage import Usage
from host.store.transactions import utc_now
from host.supervisor.clock import Clock, utc_in
from host.supervisor.plan import (
    Actual,
    Clean,
    Spec,
    Start,
    Step,
    Stop,
    WriteCertificates,
    WriteUserData,
    plan,
)
from host.supervisor.restart import HEALTHY_SECONDS, Backoff
from host.supervisor.runner import Runner

__all__ = ["GRACE_SECONDS", "Worker", "unobserved"]

GRACE_SECONDS: Final = 20.0
"""Between TERM and KILL, as upstream has it."""

_NEVER: Final = float("inf")
_KILLED: Final = 128 + signal.SIGKILL
_TROUBLED: Final = {ContainerState.STARTING, ContainerState.WAITING}
_log = logging.getLogger("host.supervisor")


def unobserved(status: ContainerStatus) -> None:
    """Nobody looks."""


@dataclass
class Worker:
    """The container `name`, driven by `runner`. `run` is its life and ends only by cancellation.

    `observe` is told each time that its state changes, `proven` once a run has lasted so long that
    what it runs from is good.
    """

    name: str
    runner: Runner
    clock: Clock
    grace: float = GRACE_SECONDS
    desired: Desired | None = None
    observe: Callable[[ContainerStatus], None] = unobserved
    proven: Callable[[], None] = lambda: None
    _state: ContainerState = ContainerState.DISABLED
    _since: str = field(default_factory=utc_now)
    _reason: str = ""
    _task: Task | None = None
    _exit: asyncio.Future[int | None] | None = None
    _made: Made | None = None
    _certificates: bytes | None = None
    _dirty: bool = False
    _adopted: bool = False
    _stale: bool = False
    _began: float = 0.0
    _proven: bool = False
    _retry_at: float | None = None
    _retry: str = ""
    _restarts: int = 0
    _last_exit: int | None = None
    _backoff: Backoff = field(default_factory=Backoff)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _settled: asyncio.Event = field(default_factory=asyncio.Event)

    async def adopt(self) -> None:
        """Take over a container that runs, or the exit status of one that ended meanwhile.

        Raises SheltieError while that cannot be told; until then no step is taken.
        """
        task, known = await self.runner.find()
        self._adopted = True
        self._made = known
        if known is not None:
            self._restarts = known.restarts
            self._last_exit = known.last_exit
        self._dirty = True
        if task is None:
            last = self.runner.last_exit()
            self._last_exit = self._last_exit if last is None else last
            return
        if known is None:  # what it was made of cannot be told: the next step removes it
            task.close()
            return
        self._watch(task)
        self._enter(ContainerState.RUNNING, since=known.since, reason=known.note)
        _log.info(event("adopted", container=self.name, pid=task.pid))

    def wait(self, reason: str) -> None:
        """Say what it waits for before its life begins."""
        self._enter(ContainerState.WAITING, reason=reason)

    def want(self, desired: Desired) -> None:
        """Want it so from now on. Equal wishes change nothing."""
        if desired == self.desired:
            return
        if _without_user_data(desired) != _without_user_data(self.desired):
            self._backoff.reset()
            self._retry_at = None
        if self.desired is not None and desired.written != self.desired.written:
            self._stale = True
        self.desired = desired
        self._settled.clear()
        self._changed.set()

    async def settled(self) -> None:
        """Return once everything wanted is done, or waits for its time."""
        await self._settled.wait()

    def status(self) -> ContainerStatus:
        """Return where it stands."""
        wanted = self.desired or Desired(self.name)
        runs = self._task is not None
        used = self.runner.usage() if runs else Usage()
        return ContainerStatus(
            name=self.name,
            enabled=wanted.enabled,
            state=self._state,
            since=self._since,
            superpowered=wanted.superpowered,
            pid=self._task.pid if self._task is not None else 0,
            image=wanted.source or "",
            restarts=self._restarts,
            last_exit=self._last_exit,
            reason=self._reason,
            digest=self._made.digest if runs and self._made is not None else "",
            failures=self._backoff.failures if self._state in _TROUBLED else 0,
            retry=self._retry if self._state is ContainerState.WAITING else "",
            limits=self._made.limits if runs and self._made is not None else None,
            memory_bytes=used.memory,
            cpu_seconds=None if used.cpu is None else round(used.cpu, 3),
            pids=used.pids,
        )

    async def exec(self, command: Sequence[bytes], size: Size | None) -> ExecProcess:
        """Start a command. Raises NotFoundError (CONTAINER_NOT_RUNNING), FailedError."""
        if self._state is not ContainerState.RUNNING:
            raise NotFoundError(
                f"container '{self.name}' is not running",
                hint=self._reason,
                code="CONTAINER_NOT_RUNNING",
            )
        return await self.runner.exec(command, size)

    async def run(self) -> None:
        """Keep it as wanted."""
        while True:
            self._changed.clear()
            try:
                if self._exit is not None and self._exit.done():
                    await self._ended()
                await self._approach()
            except SheltieError as error:
                self._fail(error)
            except Exception as error:  # noqa: BLE001  see below
                # A defect of ours costs this container a delay, not the daemon.
                _log.exception(event("defect", container=self.name))
                self._fail(SheltieError(f"defect: {error}"))
            if not self._changed.is_set():
                self._settled.set()
            await self._something()

    async def close(self) -> None:
        """Watch no longer; the container goes on."""
        if self._exit is not None:
            self._exit.cancel()
            await asyncio.wait({self._exit})
        if self._task is not None:
            self._task.close()

    async def _approach(self) -> None:
        """Take every step towards what is wanted."""
        if not self._adopted and self._retry_at is None:
            await self.adopt()
        if not self._adopted:
            return
        if self.desired is None:
            return
        known = self._made if self._task is not None else None
        # What is written from now on counts again, also while the steps are taken.
        stale, self._stale = self._stale, False
        actual = Actual(
            running=None if known is None else _spec(known),
            user_data=self.runner.user_data(),
            dirty=self._dirty,
            held=self._retry_at is not None,
            certificates=self._certificates,
            stale=stale,
        )
        for step in plan(self.desired, actual):
            await self._take(step)
        if not self.desired.enabled and not self._dirty:
            self._restarts = 0
            self._retry_at = None
            self._enter(ContainerState.DISABLED)
        elif self._state is ContainerState.RUNNING and self._made is not None:
            self._reason = self._made.note  # what failed beside it has worked now

    async def _take(self, step: Step) -> None:
        _log.info(event("step", container=self.name, do=step))
        match step:
            case WriteUserData(data):
                await self.runner.write_user_data(data)
            case WriteCertificates(data):
                await self.runner.write_certificates(data)
                self._certificates = data
            case Stop():
                await self._stop()
            case Clean():
                await self._clean()
            case Start(spec, certificates):
                await self._start(spec, certificates)

    async def _start(self, spec: Spec, certificates: bytes) -> None:
        self._enter(ContainerState.STARTING)
        self._dirty = True
        task, self._made = await self.runner.start(
            spec, self._restarts, self._last_exit, certificates, self._tell
        )
        self._certificates = certificates
        self._watch(task)
        # As whoever adopts it will say.
        self._enter(ContainerState.RUNNING, since=self._made.since, reason=self._made.note)
        _log.info(event("running", container=self.name, pid=task.pid))

    def _tell(self, words: str) -> None:
        self._enter(ContainerState.STARTING, reason=words)

    def _watch(self, task: Task) -> None:
        self._task, self._began, self._proven = task, self.clock.now(), False
        self._exit = asyncio.ensure_future(task.wait())

    async def _stop(self) -> None:
        """TERM, the grace, and then the KILL that comes with the cleaning up."""
        if self._task is None or self._exit is None:
            return
        self._enter(ContainerState.STOPPING)
        self._task.kill(signal.SIGTERM)
        await self._first(self.clock.sleep(self.grace))
        await self._end()

    async def _end(self) -> None:
        """Remove what is left of a run, and note how it ended."""
        task, exited = self._task, self._exit
        if task is None or exited is None:
            return
        self._task = self._exit = None
        try:
            await self._clean()
            # All is dead: the status comes at once.
            self._last_exit = await exited
        finally:
            exited.cancel()
            task.close()

    async def _clean(self) -> None:
        await self.runner.clean()
        self._dirty = False

    async def _ended(self) -> None:
        """It ended by itself: start it again after a while."""
        ran = self.clock.now() - self._began
        kills = self.runner.memory_kills()
        await self._end()
        status = "unknown" if self._last_exit is None else self._last_exit
        _log.warning(event("ended", container=self.name, status=status, seconds=f"{ran:.1f}"))
        self._restarts += 1
        why = f"it ended with status {status}"
        if kills and self._last_exit == _KILLED:
            why += ": its memory was at an end"
        self._hold(ran, why)

    def _fail(self, error: SheltieError) -> None:
        _log.error(event("failed", container=self.name, why=error.line()))
        if self._task is not None:  # it runs on; what failed was beside it
            self._enter(ContainerState.RUNNING, reason=error.line())
        elif isinstance(error, UsageError):
            # Only another setting can help.
            self._retry_at = _NEVER
            self._enter(ContainerState.FAILED, reason=error.line())
        else:
            self._hold(0.0, error.line())

    def _hold(self, ran: float, reason: str) -> None:
        delay = self._backoff.after(ran)
        self._retry_at = self.clock.now() + delay
        self._retry = utc_in(delay)
        again = f"{reason}; next attempt in {delay:.0f} s"
        wanted = self._dirty or (self.desired is not None and self.desired.enabled)
        self._enter(ContainerState.WAITING if wanted else ContainerState.DISABLED, reason=again)

    async def _something(self) -> None:
        """Wait until there is something to do."""
        waits = [self._wait_for_change()]
        if self._retry_at is not None and self._retry_at != _NEVER:
            waits.append(self.clock.sleep(max(0.0, self._retry_at - self.clock.now())))
        healthy = self._began + HEALTHY_SECONDS
        if self._task is not None and not self._proven:
            waits.append(self.clock.sleep(max(0.0, healthy - self.clock.now())))
        await self._first(*waits)
        running = self._exit is not None and not self._exit.done()
        if running and not self._proven and self.clock.now() >= healthy:
            self._proven = True
            self.runner.proven()
            self.proven()
        if self._retry_at is not None and self.clock.now() >= self._retry_at:
            self._retry_at = None

    async def _wait_for_change(self) -> None:
        await self._changed.wait()

    async def _first(self, *waits: Coroutine[Any, Any, None]) -> None:
        """Return once one of `waits` is over, or the container has ended."""
        own = [asyncio.ensure_future(wait) for wait in waits]
        every: set[asyncio.Future[Any]] = {*own, *([self._exit] if self._exit else [])}
        try:
            await asyncio.wait(every, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in own:
                one.cancel()
            await asyncio.wait(own)

    def _enter(self, state: ContainerState, *, since: str = "", reason: str = "") -> None:
        before = (self._state, self._reason)
        if state is not self._state or since:
            self._since = since or utc_now()
        self._state, self._reason = state, reason
        if (state, reason) != before:
            self.observe(self.status())


def _spec(known: Made) -> Spec:
    return Spec(known.source, known.superpowered, known.command, known.environment)


def _without_user_data(desired: Desired | None) -> Desired | None:
    return None if desired is None else replace(desired, user_data=None)
