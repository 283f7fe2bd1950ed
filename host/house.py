"""What the API's handlers work on: the settings, the containers, and keeping the two in step."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import contract
from contract import keyline
from contract.rpc import KeyShown
from contract.status import DoorStatus, HandedKey, HostStatus
from host import reboot, release, wanted
from host.callers import ADMIN_ENABLED, Caller
from host.desired import Containers, Desired
from host.store.state import Handed
from host.store.transactions import Transactions, utc_now
from host.update.none import NoEngine
from host.update.updates import Updates

__all__ = ["Doors", "House"]


class Doors(Protocol):
    """The sockets by which containers call."""

    async def want(self, names: Iterable[str]) -> None:
        """Have a socket for each of these containers, and for no other."""


@dataclass
class House:
    """One host. `problems` are sentences about what does not work here; `pid` is the daemon's.

    `ending` is set when the daemon is to end, `stop_containers` when they end with it.
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
    stop_containers: bool = False
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    _applied: dict[str, Desired] = field(default_factory=dict)
    _applying: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def admin_enabled(self) -> bool:
        """Whether the settings want admin to be up."""
        return self.transactions.live.settings.get(ADMIN_ENABLED) is True

    async def apply(self, names: Iterable[str] | None = None) -> None:
        """Tell the supervisor what the live settings want of the containers that `names` concern.

        Returns at once, as upstream's applier does; the work goes on by itself.
        """
        async with self._applying:
            wants = wanted.desired(self.transactions.live)
            for name in wanted.affected(names, wants):
                self._applied[name] = wants[name]
            enabled = [name for name, desired in self._applied.items() if desired.enabled]
            # A container's socket stands before the container that mounts its directory.
            await self.doors.want(enabled)
            await self.containers.apply(dict(self._applied))

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
            problems=list(self.problems),
        )


def _handed(entry: Handed) -> HandedKey:
    line = keyline.parse(entry.key)
    shown = KeyShown(line.fingerprint, line.type, line.comment)
    return HandedKey(shown, f"{entry.caller} uid {entry.uid}", entry.since)
