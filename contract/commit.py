"""The body of `POST /sheltie/v1/commit_and_apply`: what a commit did to each host container."""

from enum import StrEnum

import msgspec

from contract.status import ContainerState

__all__ = ["Committed", "Did", "Outcome"]


class Did(StrEnum):
    """What a container did."""

    NOTHING = "nothing"
    STARTED = "started"
    STOPPED = "stopped"
    RESTARTED = "restarted"
    FAILED = "failed"
    UNDER_WAY = "under-way"  # the waiting ended before it did


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What container `name` did, and where it stands now."""

    name: str
    did: Did
    state: ContainerState
    reason: str = ""


class Committed(msgspec.Struct, frozen=True):
    """The generation that the commit made, what it changed, and whether all was done in time.

    `containers` are those that the change concerns.
    """

    generation: int
    changed: list[str]
    settled: bool
    containers: list[Outcome]
