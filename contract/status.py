"""The body of `GET /sheltie/v1/status`: what the daemon knows that upstream's API does not tell.

A stock host answers 404 there, and clients say what they then cannot know.
"""

from enum import StrEnum

import msgspec

from contract.rpc import KeyShown

__all__ = ["ContainerState", "ContainerStatus", "DoorStatus", "HandedKey", "HostStatus"]


class ContainerState(StrEnum):
    """Where a host container stands."""

    DISABLED = "disabled"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    WAITING = "waiting"  # it failed, and is started again after a delay
    FAILED = "failed"  # it cannot be started before its settings change


class ContainerStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """One host container. Times are RFC 3339 UTC; `reason` is one sentence, empty when all is well.

    `last_exit` is the exit status of the previous run, 128+n for signal n, if there was one.
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


class HostStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """The whole answer. `caller` is whom the daemon takes the asking socket for.

    `pid` is the daemon's, in the host's pid namespace.
    """

    version: str
    caller: str
    runtime: str
    since: str
    door: DoorStatus
    containers: list[ContainerStatus]
    pid: int = 0
    problems: list[str] = []
