"""Who may connect at all: limits on strangers, for everybody together and for each source. Pure.

After sshd_config(5): MaxStartups with random early drop, PerSourceMaxStartups, PerSourcePenalties.
A source is an IPv4 address or an IPv6 /64, which is what one machine is given. The clock and the
dice come from outside. Memory is bounded: at most SOURCES_MAX sources are remembered.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, ip_network

from admin.ssh.control import Limits
from admin.ssh.sources import Sources, address_of

__all__ = ["Gatekeeper", "Outcome", "Throttle", "source_of"]

SOURCES_MAX = 4096
"""Remembered sources with a penalty: those that are free soonest are forgotten first."""


EVERYBODY_COUNTS = Sources(())


class Outcome(Enum):
    """How a connection ended that never logged in, with what it costs its source, in seconds.

    Less than OpenSSH asks for where many people share an address, or a scanner of one's own knocks:
    40 logins at once and a run of ssh-audit stay free, a guesser does not.
    """

    LOGGED_IN = 0.0
    LEFT = 0.1  # no try to log in
    GARBAGE = 1.0  # what it said was no SSH
    FAILED = 3.0  # it tried, and was refused
    SILENT = 5.0  # it stayed until the grace time was over
    CRASHED = 90.0  # its listener died: somebody may look for a hole


def source_of(address: str) -> str:
    """Return the source that an address belongs to."""
    peer = address_of(address)
    if isinstance(peer, IPv4Address):
        return str(peer)
    return str(ip_network((peer, 64), strict=False))


@dataclass
class Gatekeeper:
    """Counts. `dice` returns a number from 0 up to 1, `clock` seconds that never go back."""

    limits: Limits
    clock: Callable[[], float]
    dice: Callable[[], float]
    exempt: Sources = EVERYBODY_COUNTS
    _strangers: dict[str, int] = field(default_factory=dict)
    _count: int = 0
    _known: int = 0
    _debts: dict[str, float] = field(default_factory=dict)
    """Until when each source pays for what it did."""

    @property
    def strangers(self) -> int:
        """How many connections have not logged in."""
        return self._count

    def admit(self, address: str) -> str:
        """Take in a connection and return "", or return why it is dropped. Then `left` follows."""
        source, limits = source_of(address), self.limits
        if self._count + self._known >= limits.connections:
            return "too many connections"
        if not self.exempt.admits(address):
            if self._debts.get(source, 0) - self.clock() >= limits.penalty_min:
                return "its source pays a penalty"
            if self._strangers.get(source, 0) >= limits.per_source:
                return "too many connections of its source wait for a login"
            if self._drops():
                return "too many connections wait for a login"
        self._count += 1
        self._strangers[source] = self._strangers.get(source, 0) + 1
        return ""

    def logged_in(self, address: str) -> None:
        """Take note that an admitted connection is no stranger's any more."""
        self._forget(address)
        self._known += 1

    def left(self, address: str, outcome: Outcome) -> None:
        """Take note that an admitted connection ended."""
        if outcome is Outcome.LOGGED_IN:
            self._known -= 1
            return
        self._forget(address)
        if not self.exempt.admits(address):
            self._punish(source_of(address), outcome.value)

    def _drops(self) -> bool:
        """Random early drop: surely not below `startups`, surely from `startups_full` on."""
        limits = self.limits
        if self._count < limits.startups:
            return False
        if self._count >= limits.startups_full:
            return True
        span = limits.startups_full - limits.startups
        chance = limits.startups_rate / 100
        chance += (1 - chance) * (self._count - limits.startups) / span
        return self.dice() < chance

    def _forget(self, address: str) -> None:
        source = source_of(address)
        self._count -= 1
        left = self._strangers[source] - 1
        if left:
            self._strangers[source] = left
        else:
            del self._strangers[source]

    def _punish(self, source: str, seconds: float) -> None:
        now = self.clock()
        until = max(self._debts.get(source, 0), now) + seconds
        self._debts[source] = min(until, now + self.limits.penalty_max)
        if len(self._debts) > SOURCES_MAX:
            self._debts = {name: end for name, end in self._debts.items() if end > now}
        if len(self._debts) > SOURCES_MAX:
            worst = sorted(self._debts, key=self._debts.__getitem__)[SOURCES_MAX // 2 :]
            self._debts = {name: self._debts[name] for name in worst}


@dataclass
class Throttle:
    """One line of log for each source and minute; what was left out is counted in the next one."""

    clock: Callable[[], float]
    seconds: float = 60
    _told: dict[str, tuple[float, int]] = field(default_factory=dict)

    def tell(self, address: str) -> int | None:
        """Return how many were left out since the last line, or None to leave this one out too."""
        source, now = source_of(address), self.clock()
        last, hidden = self._told.get(source, (float("-inf"), 0))
        if now - last < self.seconds:
            self._told[source] = (last, hidden + 1)
            return None
        self._told.pop(source, None)
        if len(self._told) >= SOURCES_MAX:
            del self._told[next(iter(self._told))]
        self._told[source] = (now, 0)
        return hidden
