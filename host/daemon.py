"""The daemon's life: locks, directories, store, supervisor, sockets; then waiting; then the end.

Containers outlive the daemon: TERM ends it and leaves them running, and the next one adopts them.
"""

import asyncio
import logging
import os
import resource
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import contract
from contract import durable
from contract.errors import MachineError, UsageError
from contract.event import (
    DaemonEnded,
    DaemonStarted,
    Event,
    SettingsFound,
    SettingsRecovered,
    cut,
)
from contract.places import RUN, SOCKET_PATH_MAX
from contract.status import ContainerStatus
from host import reboot, release, wanted
from host.api.limits import Limits
from host.api.listener import SOCKET_NAME, ContainerDoors, Listener
from host.audit import changes
from host.audit.segments import Segments
from host.audit.trail import Trail
from host.callers import HOST
from host.desired import Containers
from host.house import House
from host.idle import IdleContainers
from host.image.access import RegistryAccess
from host.lock import Lock
from host.logline import event
from host.policy import OURS, Policy
from host.reboot import COMMAND
from host.runtime import oom
from host.runtime.files import Files
from host.store.files import FileStore
from host.store.transactions import Transactions
from host.update.none import NoEngine
from host.update.updates import Updates

__all__ = ["Places", "Runner", "serve", "stop_containers"]

NO_ROOT = "not root: containers cannot be run, and sockets are not of group api"
NO_RUNTIME = "started with --runtime none: containers are not run"

_log = logging.getLogger("host")


class Runner(Containers, Protocol):
    """Containers with a life of its own: what the daemon needs of the supervisor."""

    async def start(self) -> None:
        """Adopt what a daemon before this one left running."""

    async def stop_all(self) -> None:
        """Stop every container and return when they are gone."""

    async def close(self) -> None:
        """Let go; containers stay."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a daemon lives. `socket` is the host's own API socket."""

    state: Path
    run: Path
    socket: Path

    @classmethod
    def of(cls, state: Path, run: Path, socket: Path | None = None) -> "Places":
        """Return the places, the socket at its usual one; UsageError (PATH_TOO_LONG).

        Somebody who is not root may not use the system's run directory, and gets one of their own.
        """
        if os.geteuid() and run == Path(RUN):
            run = state / "run"
        state, run = state.absolute(), run.absolute()
        places = cls(state, run, (socket or run / "api" / HOST.label / SOCKET_NAME).absolute())
        size = len(os.fsencode(places.socket))
        if size > SOCKET_PATH_MAX:
            raise UsageError(
                f"{places.socket} is {size} bytes long, a socket's path ends at {SOCKET_PATH_MAX}",
                hint="choose a shorter --run or --socket",
                code="PATH_TOO_LONG",
            )
        return places


async def serve(
    places: Places,
    runtime: str,
    limits: Limits | None = None,
    reboot_command: str = COMMAND,
    policy: Policy = OURS,
) -> None:
    """Serve until TERM, INT or a request to stop. Raises SheltieError when that cannot begin."""
    command = reboot.parse(reboot_command)
    locks = _prepare(places)
    try:
        store = FileStore(places.state / "settings")
        audit = Trail(Segments(places.state / "audit"))
        _begin_audit(audit, store)
        containers = _containers(
            places,
            runtime,
            lambda: wanted.registries(store.live()),
            changes.Containers(audit.note).seen,
            audit.note,
        )
        unprotected = oom.protect() if runtime != "none" and os.geteuid() == 0 else ""
        await containers.start()
        try:
            problems = [unprotected] if unprotected else []
            settings, all_limits = Transactions(store), limits or Limits()
            await _serve(places, settings, containers, problems, audit, all_limits, command, policy)
        finally:
            await containers.close()
    finally:
        for lock in locks:
            lock.release()


async def stop_containers(places: Places, runtime: str) -> None:
    """Stop every container that a daemon left behind. Raises ConflictError while one runs."""
    locks = _prepare(places)
    try:
        audit = Trail(Segments(places.state / "audit"))
        audit.start()
        containers = _containers(places, runtime, observe=changes.Containers(audit.note).seen)
        await containers.start()
        try:
            await containers.stop_all()
        finally:
            await containers.close()
    finally:
        for lock in locks:
            lock.release()


async def _serve(
    places: Places,
    transactions: Transactions,
    containers: Runner,
    problems: Sequence[str],
    audit: Trail,
    limits: Limits,
    reboot_command: Sequence[str],
    policy: Policy,
) -> None:
    doors = ContainerDoors(places.run / "api", limits)
    runtime = "none" if isinstance(containers, IdleContainers) else _runtime_name(containers)
    updates = Updates(
        NoEngine(), lambda: wanted.updates(transactions.live), places.run / "updates.json"
    )
    house = House(
        transactions,
        containers,
        doors,
        runtime,
        os.getpid(),
        problems=problems,
        updates=updates,
        reboot_command=reboot_command,
        audit=audit,
        log_of=lambda name: Files.of(places.state, places.run, name).log,
        policy=policy,
    )
    doors.serve(house)
    own = Listener(house, HOST, places.socket, limits)
    _heed_signals(house)
    keeping = asyncio.create_task(audit.keep())
    generation = transactions.live.serial
    audit.note(
        DaemonStarted(contract.__version__, os.getpid(), runtime, generation, release.boot_id())
    )
    try:
        await house.apply()
        await own.open()
        for problem in (*problems, *containers.problems):
            _log.warning(event("problem", what=problem))
        what = {"socket": places.socket, "state": places.state, "runtime": runtime}
        _log.info(event("ready", **what, policy=policy.name))
        await house.ending.wait()
        if house.stop_containers:
            await containers.stop_all()
    finally:
        await asyncio.gather(own.hang_up(), doors.close(), updates.close())
        keeping.cancel()
        house.calls.close()
        stay = "stopped" if house.stop_containers else "stay"
        audit.note(DaemonEnded(stay))
        _log.info(event("end", containers=stay))


def _begin_audit(audit: Trail, store: FileStore) -> None:
    """Find the audit's end, and tell what happened to the settings while no daemon looked."""
    known, generation = audit.start(), store.live().serial
    if store.recovered:
        audit.note(SettingsRecovered(generation, cut(store.recovered)))
    elif known is not None and known != generation:
        audit.note(SettingsFound(generation, known))


def _heed_signals(house: House) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, house.ending.set)


def _prepare(places: Places) -> list[Lock]:
    """Make the directories and lock them; whoever may not be root can still enter those of RUN."""
    # Every file of ours has its mode set; umoci and the like make what the world may read.
    os.umask(0o022)
    # Each container has a socket of its own, with connections.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    _own_directory(places.state, 0o700)
    _own_directory(places.run, 0o711)
    durable.ensure_directory(places.run / "api", 0o711)
    durable.ensure_directory(places.run / "api" / HOST.label, 0o711)
    _make(places.socket.parent, 0o711)
    locks = [Lock(places.state)]
    try:
        locks.append(Lock(places.run))
    except BaseException:
        locks[0].release()
        raise
    return locks


def _own_directory(path: Path, mode: int) -> None:
    """Make a directory; one that is there keeps its mode and must be nobody else's to write.

    Raises MachineError (DIRECTORY_UNUSABLE).
    """
    found = _make(path, mode)
    if found.st_uid not in {0, os.geteuid()} or found.st_mode & 0o022:
        raise MachineError(
            f"directory {path} may be written by others",
            hint="name a directory of the daemon's own",
            code="DIRECTORY_UNUSABLE",
        )


def _make(path: Path, mode: int) -> os.stat_result:
    try:
        path.mkdir(mode, parents=True, exist_ok=True)
        return path.stat()
    except OSError as error:
        why = f"cannot make directory {path}: {error.strerror}"
        raise MachineError(why, code="DIRECTORY_UNUSABLE") from error


def _containers(
    places: Places,
    runtime: str,
    access: Callable[[], RegistryAccess] = RegistryAccess,
    observe: Callable[[ContainerStatus], None] | None = None,
    note: Callable[[Event], object] = lambda _event: None,
) -> Runner:
    if runtime == "none":
        return IdleContainers(NO_RUNTIME)
    if os.geteuid() != 0:
        return IdleContainers(NO_ROOT)
    from host.supervisor.supervisor import Supervisor
    from host.supervisor.worker import unobserved

    return Supervisor(
        places.state,
        places.run,
        runtime,
        access=access,
        observe=observe or unobserved,
        note=note,
    )


def _runtime_name(containers: object) -> str:
    return str(getattr(containers, "runtime", "auto"))
