"""The daemon's life: locks, directories, store, supervisor, sockets; then waiting; then the end.

Containers outlive the daemon: TERM ends it and leaves them running, and the next one adopts them.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import contract
from contract.audit.segments import Segments
from contract.event import DaemonEnded, DaemonStarted
from host import reboot, recovery, release, sessions, updating, wanted
from host.api.limits import Limits
from host.api.listener import ContainerDoors, Listener
from host.audit import changes
from host.audit.trail import Trail
from host.callers import HOST
from host.directories import Places, own_run, own_state
from host.ground import Ground, containers_of
from host.house import House
from host.idle import IdleContainers
from host.logline import event
from host.notify import Notifier
from host.policy import OURS, Policy
from host.reboot import COMMAND
from host.recovery import RETRY_SECONDS
from host.runtime.files import Files
from host.store.transactions import Transactions
from host.system import image
from host.system.integrity import Integrity
from host.touched import Touched
from host.update.updates import Updates

__all__ = ["Places", "serve", "stop_containers"]

_log = logging.getLogger("host")


@dataclass(frozen=True, slots=True)
class Options:
    """How the daemon is to work."""

    runtime: str
    limits: Limits
    reboot_command: Sequence[str]
    policy: Policy
    retry: float
    manager: Notifier
    integrity: Integrity


class Background:
    """Tasks that go on for as long as the body does."""

    def __init__(self, *work: Coroutine[Any, Any, None]) -> None:
        self._work = work
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(one) for one in self._work]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                _log.error(event("defect", where="background", why=outcome), exc_info=outcome)


async def serve(
    places: Places,
    runtime: str,
    limits: Limits | None = None,
    reboot_command: str = COMMAND,
    policy: Policy = OURS,
    retry: float = RETRY_SECONDS,
) -> None:
    """Serve until TERM, INT or a request to stop. Raises SheltieError when that cannot begin.

    While the state directory is ill settings are shown as far as they can be read; every `retry`
    seconds it is looked at again, and when it is well the daemon begins anew.
    """
    manager = Notifier.taken(os.environ)
    audit = Trail(Segments(places.state / "audit"))
    integrity = Integrity.of_root(audit.note)
    words = reboot.parse(reboot_command)
    options = Options(runtime, limits or Limits(), words, policy, retry, manager, integrity)
    lock = own_run(places)
    try:
        async with Background(audit.keep(), manager.keep_watch(), integrity.keep()):
            while await _serve(places, options, audit):
                _log.warning(event("begin-anew", state=places.state))
    finally:
        lock.release()


async def stop_containers(places: Places, runtime: str) -> None:
    """Stop every container that a daemon left behind. Raises ConflictError while one runs."""
    locks = [own_run(places)]
    try:
        locks.append(own_state(places))
        audit = Trail(Segments(places.state / "audit"))
        audit.start()
        containers = containers_of(places, runtime, observe=changes.Containers(audit.note).seen)
        await containers.start()
        try:
            await containers.stop_all()
        finally:
            await containers.close()
    finally:
        for lock in locks:
            lock.release()


async def _serve(places: Places, options: Options, audit: Trail) -> bool:
    """Serve until the end, or until a state directory that was ill is well: True then."""
    ground = await Ground.found(places, options.runtime, audit)
    try:
        return await _answer(places, options, audit, ground)
    finally:
        await ground.close()


async def _answer(
    places: Places,
    options: Options,
    audit: Trail,
    ground: Ground,
) -> bool:
    transactions, containers = Transactions(ground.store), ground.containers
    doors = ContainerDoors(places.run / "api", options.limits)
    runtime = "none" if isinstance(containers, IdleContainers) else _runtime_name(containers)
    engine, kept = updating.engine(
        image.read(), places, lambda: wanted.registries(transactions.live)
    )
    updates = Updates(engine, lambda: wanted.updates(transactions.live), kept, note=audit.note)
    touched = None
    if image.read() is not None:
        touched = Touched.below(places.state, release.boot_id(), audit.note)
        touched.begin()
    house = House(
        transactions,
        containers,
        doors,
        runtime,
        os.getpid(),
        problems=[*ground.problems, *image.problems(image.read())],
        medium=ground.medium,
        integrity=options.integrity,
        updates=updates,
        reboot_command=options.reboot_command,
        audit=audit,
        system=image.read,
        sessions=partial(sessions.count, containers),
        touched=touched,
        log_of=lambda name: Files.of(places.state, places.run, name).log,
        policy=options.policy,
    )
    doors.serve(house)
    own = Listener(house, HOST, places.socket, options.limits)
    _heed_signals(house)
    generation = transactions.live.serial
    audit.note(
        DaemonStarted(contract.__version__, os.getpid(), runtime, generation, release.boot_id())
    )
    try:
        await house.apply()
        await own.open()
        for problem in house.all_problems:
            _log.warning(event("problem", what=problem))
        what = {"socket": places.socket, "state": places.state, "runtime": runtime}
        _log.info(event("ready", **what, policy=options.policy.name))
        options.manager.tell("READY=1", f"STATUS={_words(house)}")
        async with Background(_mend(places, options.retry, ground, house.ending), updates.begin()):
            await house.ending.wait()
        if house.stop_containers:
            await containers.stop_all()
    finally:
        if not ground.is_well_again:
            options.manager.tell("STOPPING=1")
        await asyncio.gather(own.hang_up(), doors.close(), updates.close(), house.reboots.close())
        house.calls.close()
        stay = "stopped" if house.stop_containers else "stay"
        audit.note(DaemonEnded(stay))
        _log.info(event("end", containers=stay))
    return ground.is_well_again


async def _mend(places: Places, retry: float, ground: Ground, ending: asyncio.Event) -> None:
    """Look after the state directory; where it could not be used, end the serving once it can."""
    if ground.medium is not None:
        await ground.medium.keep(retry)
    else:
        await recovery.until_usable(places, retry)
        ground.is_well_again = True
        ending.set()


def _words(house: House) -> str:
    count = len(house.all_problems)
    return f"runtime {house.runtime}; " + (f"{count} problems: hostd status" if count else "well")


def _heed_signals(house: House) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, house.ending.set)


def _runtime_name(containers: object) -> str:
    return str(getattr(containers, "runtime", "auto"))
