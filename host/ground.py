"""What a daemon stands on: its state directory with the store in it, and its containers.

A state directory that is full, read-only, broken or not there is no reason not to serve: settings
are shown as far as they can be read then, and containers that run are left alone.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, Self

from contract.errors import MachineError
from contract.event import Event, SettingsFound, SettingsRecovered, cut
from contract.status import ContainerStatus
from host import wanted
from host.audit import changes
from host.audit.trail import Trail
from host.desired import Containers
from host.directories import Places, is_ill, own_state
from host.idle import IdleContainers
from host.image.access import RegistryAccess
from host.lock import Lock
from host.recovery import Medium
from host.runtime import oom
from host.store.files import FileStore
from host.store.spare import SpareStore
from host.store.state import Store

__all__ = ["Ground", "Runner", "containers_of"]

NO_ROOT = "not root: containers cannot be run, and sockets are not of group api"
NO_RUNTIME = "started with --runtime none: containers are not run"


class Runner(Containers, Protocol):
    """Containers with a life of its own: what the daemon needs of the supervisor."""

    async def start(self) -> None:
        """Adopt what a daemon before this one left running."""

    async def stop_all(self) -> None:
        """Stop every container and return when they are gone."""

    async def close(self) -> None:
        """Let go; containers stay."""


@dataclass
class Ground:
    """`lock` is None, and so is `medium`, while the state directory cannot be used at all.

    `is_well_again` tells the daemon to begin anew on the state that there is now.
    """

    store: Store
    containers: Runner
    problems: list[str] = field(default_factory=list)
    lock: Lock | None = None
    medium: Medium | None = None
    is_well_again: bool = False

    @classmethod
    async def found(cls, places: Places, runtime: str, audit: Trail) -> Self:
        """Lock and read the state, and take over the containers that run.

        Raises SheltieError where something else than the medium is wrong.
        """
        try:
            return await cls._sound(places, runtime, audit)
        except (MachineError, OSError) as error:
            if not is_ill(error):
                raise
            why = error.message if isinstance(error, MachineError) else str(error)
            audit.start()
            return cls(SpareStore(places.state / "settings", why), IdleContainers(why))

    async def close(self) -> None:
        """Let go; containers stay."""
        await self.containers.close()
        if self.lock is not None:
            self.lock.release()

    @classmethod
    async def _sound(cls, places: Places, runtime: str, audit: Trail) -> Self:
        lock = own_state(places)
        containers: Runner | None = None
        try:
            store = FileStore(places.state / "settings")
            _begin_audit(audit, store)
            seen = changes.Containers(audit.note).seen
            containers = containers_of(
                places, runtime, lambda: wanted.registries(store.live()), seen, audit.note
            )
            unprotected = oom.protect() if runtime != "none" and os.geteuid() == 0 else ""
            await containers.start()
        except BaseException:
            if containers is not None:
                await containers.close()
            lock.release()
            raise
        medium = Medium(places.state)
        medium.look()
        return cls(store, containers, [unprotected] if unprotected else [], lock, medium)


def _begin_audit(audit: Trail, store: FileStore) -> None:
    """Find the audit's end, and tell what happened to the settings while no daemon looked."""
    known, generation = audit.start(), store.live().serial
    if store.recovered:
        audit.note(SettingsRecovered(generation, cut(store.recovered)))
    elif known is not None and known != generation:
        audit.note(SettingsFound(generation, known))


def containers_of(
    places: Places,
    runtime: str,
    access: Callable[[], RegistryAccess] = RegistryAccess,
    observe: Callable[[ContainerStatus], None] | None = None,
    note: Callable[[Event], object] = lambda _event: None,
) -> Runner:
    """Return what keeps containers here."""
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
