"""The body of `GET /sheltie/v1/status`: what the daemon knows that upstream's API does not tell.

A stock host answers 404 there, and clients say what they then cannot know.
"""

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from contract.rpc import KeyShown

__all__ = [
    "AuditStatus",
    "ContainerState",
    "ContainerStatus",
    "DoorStatus",
    "HandedKey",
    "HostStatus",
    "Limits",
    "SystemStatus",
    "TouchedStatus",
]


class ContainerState(StrEnum):
    """Where a host container stands."""

    DISABLED = "disabled"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    WAITING = "waiting"  # it failed, and is started again after a delay
    FAILED = "failed"  # it cannot be started before its settings change


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """The most that a container may take: bytes, processors, processes; 0 without a limit."""

    memory: int = 0
    cpu: float = 0.0
    pids: int = 0


class ContainerStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """One host container. Times are RFC 3339 UTC; `reason` is one sentence, empty when all is well.

    `last_exit` is the exit status of the previous run, 128+n for signal n, if there was one.
    `digest` is that of the image that it runs. `failures` counts the starts in a row that did not
    last, `retry` is when the next one is due: the delay grows to 45 s and no number of failures
    ends the attempts. What it uses is told as far as the host's cgroups can tell.
    """

    name: str
    enabled: bool
    state: ContainerState
    since: str
    superpowered: bool = False
    pid: int = 0
    image: str = ""
    restarts: int = 0
    last_exit: int | None = None
    reason: str = ""
    digest: str = ""
    failures: int = 0
    retry: str = ""
    limits: Limits | None = None
    memory_bytes: int | None = None
    cpu_seconds: float | None = None
    pids: int | None = None


class HandedKey(msgspec.Struct, frozen=True):
    """A key that a caller handed over for this enabling. `by` is `CALLER uid N`."""

    key: KeyShown
    by: str
    since: str


class DoorStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether admin is enabled, since when, and whose keys were handed over for it."""

    open: bool
    since: str = ""
    keys: list[HandedKey] = []


class AuditStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the audit stands: how many records, and the head (`NUMBER:HASH`) that witnesses them.

    `degraded` says why nothing can be written now; `waiting` events are in memory then, and `lost`
    ones found no room there.
    """

    records: int
    head: str
    waiting: int = 0
    lost: int = 0
    degraded: str = ""


class SystemStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """The host's own image: the slot that runs, and the root hash that it is checked against.

    `verity` is `verified`, or `corrupted` since a block was found that is not the image's.
    `attempts_left` is how often the loader tries this image yet; None once it is known to be good.
    `secure_boot` and `lockdown` (`none`, `integrity`, `confidentiality`) are the firmware's and the
    kernel's own word. `data` is `ok`, or what is wrong with the data partition; `first_settings`
    names where they came from, and when.
    """

    slot: str
    version: str
    root_hash: str
    verity: str = ""
    attempts_left: int | None = None
    secure_boot: bool | None = None
    lockdown: str = ""
    data: str = ""
    first_settings: str = ""

    def integrity(self) -> Iterator[tuple[str, str]]:
        """Yield what is to be shown of whether this is what was delivered: names and values."""
        yield "verity", self.verity or "not known"
        if self.secure_boot is not None:
            yield "Secure Boot", "on" if self.secure_boot else "off"
        yield "lockdown", self.lockdown or "not known"
        if self.attempts_left is not None:
            yield "attempts left", str(self.attempts_left)


class TouchedStatus(msgspec.Struct, frozen=True):
    """Since when somebody could be root on the host, and by which way; until a boot."""

    since: str
    by: str


class HostStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """The whole answer. `caller` is whom the daemon takes the asking socket for.

    `pid` is the daemon's, in the host's pid namespace. `generation` is the number of the settings
    that are live. `system` is there where the host is an image of ours, `touched` where somebody
    could be root there since it was booted.
    """

    version: str
    caller: str
    runtime: str
    since: str
    door: DoorStatus
    containers: list[ContainerStatus]
    pid: int = 0
    problems: list[str] = []
    generation: int = 0
    audit: AuditStatus | None = None
    system: SystemStatus | None = None
    touched: TouchedStatus | None = None
