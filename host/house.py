"""What the API's handlers work on: the settings, the containers, and keeping the two in step."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from msgspec import structs

import contract
from contract import keyline
from contract.audit.sink import MemorySink
from contract.errors import NotFoundError
from contract.rpc import KeyShown
from contract.status import DoorStatus, HandedKey, HostStatus, SystemStatus
from contract.updatereport import UpdateReport
from host import reboot, release, wanted
from host.audit import changes
from host.audit.calls import Calls
from host.audit.trail import Trail
from host.callers import ADMIN, ADMIN_ENABLED, Caller
from host.desired import Containers, Desired
from host.policy import OURS, Policy
from host.rebooting import WAIT_SECONDS, Reboots
from host.store.state import Handed
from host.store.transactions import Change, Transactions, utc_now
from host.touched import Touched
from host.update.none import NoEngine
from host.update.updates import Updates

__all__ = ["Doors", "House", "Integrity", "Medium"]


class Medium(Protocol):
    """What the settings are kept on."""

    problem: str
    """Why nothing can be kept there now; empty when all is well."""

    def suspect(self, why: str) -> None:
        """Note that something could not be kept."""


class Integrity(Protocol):
    """Whether the host's root is what its hash stands for."""

    state: str
    """`verified`, `corrupted`, or nothing where it is not known."""

    @property
    def problems(self) -> list[str]:
        """What is wrong, in sentences."""


class Doors(Protocol):
    """The sockets by which containers call."""

    async def want(self, names: Iterable[str]) -> None:
        """Have a socket for each of these containers, and for no other."""


async def _nobody() -> int:
    return 0


def _no_log(name: str) -> Path:
    raise NotFoundError(f"there is no log of container '{name}'", code="LOG_MISSING")


@dataclass
class House:
    """One host. `problems` are sentences about what does not work here; `pid` is the daemon's.

    `ending` is set when the daemon is to end, `stop_containers` when they end with it. `audit` is
    in memory where none is given. `log_of` tells where a container's log lies. `answers` counts
    answers by caller and status, `streams` those under way by caller, `terminals` execs with one by
    container. `sessions` counts who is in admin by SSH. `touched` is there on
    an image of ours.
    """

    transactions: Transactions
    containers: Containers
    doors: Doors
    runtime: str = "none"
    pid: int = 0
    since: str = field(default_factory=utc_now)
    problems: Sequence[str] = ()
    os_info: Callable[[], Mapping[str, str]] = release.read
    updates: Updates = field(default_factory=lambda: Updates(NoEngine()))
    reboot_command: Sequence[str] = field(default_factory=lambda: reboot.parse(reboot.COMMAND))
    audit: Trail = field(default_factory=lambda: Trail(MemorySink()))
    log_of: Callable[[str], Path] = _no_log
    policy: Policy = OURS
    medium: Medium | None = None
    integrity: Integrity | None = None
    system: Callable[[], SystemStatus | None] = lambda: None
    sessions: Callable[[], Awaitable[int]] = _nobody
    touched: Touched | None = None
    stop_containers: bool = False
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    streams: Counter[str] = field(default_factory=Counter)
    terminals: Counter[str] = field(default_factory=Counter)
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    _applied: dict[str, Desired] = field(default_factory=dict)
    _applying: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.reboots = Reboots(
            lambda: self.reboot_command, self._in_admin, self._reboot_wait, self.audit.note
        )
        self.calls = Calls(self.audit.note)
        self.transactions.tell = self._committed

    @property
    def admin_enabled(self) -> bool:
        """Whether the settings want admin to be up."""
        return self.transactions.live.settings.get(ADMIN_ENABLED) is True

    @property
    def all_problems(self) -> list[str]:
        """What does not work now, in sentences."""
        kept = [self.medium.problem] if self.medium is not None and self.medium.problem else []
        return [
            *(*self.problems, *self.containers.problems, *kept),
            *(self.integrity.problems if self.integrity is not None else ()),
            *(*self.transactions.problems, *self.audit.problems, *self.updates.problems),
            *self.reboots.problems,
        ]

    async def apply(self, names: Iterable[str] | None = None) -> set[str]:
        """Tell the supervisor what the live settings want of the containers that `names` concern.

        Returns which these are, at once, as upstream's applier does; the work goes on by itself.
        """
        async with self._applying:
            wants = wanted.desired(self.transactions.live, self.policy)
            known = wants.keys() | self._applied.keys()
            concerned = wanted.affected(names, known, self.policy)
            for name in concerned:
                if name in wants:
                    self._applied[name] = self._written(wants[name])
                else:  # its settings were deleted
                    self._applied.pop(name, None)
            enabled = [name for name, desired in self._applied.items() if desired.enabled]
            # A container's socket stands before the container that mounts its directory.
            await self.doors.want(enabled)
            await self.containers.apply(dict(self._applied))
        return concerned

    def status(self, caller: Caller) -> HostStatus:
        """Return the host's status, in which nothing is secret."""
        live = self.transactions.live
        keys = [_handed(entry) for entry in live.handed]
        return HostStatus(
            version=contract.__version__,
            caller=caller.label,
            runtime=self.runtime,
            since=self.since,
            door=DoorStatus(open=self.admin_enabled, since=live.opened, keys=keys),
            containers=list(self.containers.status()),
            pid=self.pid,
            problems=self.all_problems,
            generation=live.serial,
            audit=self.audit.status(),
            touched=self.touched.status if self.touched is not None else None,
            system=self._seen(),
        )

    async def update_report(self) -> UpdateReport:
        """Return how updates of the host stand, and whether a reboot waits. Raises FailedError."""
        return structs.replace(await self.updates.report(), reboot=self.reboots.waiting)

    async def _in_admin(self) -> int:
        return self.terminals[ADMIN] + await self.sessions()

    def _reboot_wait(self) -> float:
        """Return for how many seconds a reboot waits; upstream's does not."""
        given = wanted.updates(self.transactions.live).reboot_wait
        return (WAIT_SECONDS if given is None else given) if self.policy.extensions else 0

    def _seen(self) -> SystemStatus | None:
        system = self.system()
        if system is None or self.integrity is None:
            return system
        return structs.replace(system, verity=self.integrity.state)

    def _written(self, wish: Desired) -> Desired:
        """Count the writes that concern a container, where each of them restarts it."""
        before = self._applied.get(wish.name)
        if before is None or not self.policy.every_write_restarts:
            return wish
        return replace(wish, written=before.written + 1)

    def _committed(self, change: Change) -> None:
        for event in changes.commit(change):
            self.audit.note(event)


def _handed(entry: Handed) -> HandedKey:
    line = keyline.parse(entry.key)
    shown = KeyShown(line.fingerprint, line.type, line.comment)
    return HandedKey(shown, f"{entry.caller} uid {entry.uid}", entry.since)
