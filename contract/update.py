"""The body of `GET /updates/status`, as upstream's thar-be-updates writes it (status.rs).

All names are snake_case here, states and outcomes begin with a capital.
"""

from enum import StrEnum

import msgspec

__all__ = [
    "Command",
    "CommandResult",
    "CommandStatus",
    "Partition",
    "UpdateImage",
    "UpdateState",
    "UpdateStatus",
]


class UpdateState(StrEnum):
    """How far an update has come."""

    IDLE = "Idle"  # none is known
    AVAILABLE = "Available"  # one is chosen
    STAGED = "Staged"  # it lies in the other partition
    READY = "Ready"  # the next boot is into it


class Command(StrEnum):
    """What can be ordered."""

    REFRESH = "refresh"
    PREPARE = "prepare"
    ACTIVATE = "activate"
    DEACTIVATE = "deactivate"


class CommandStatus(StrEnum):
    """How a command ended."""

    SUCCESS = "Success"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


class UpdateImage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A system image. `version` is a semantic version."""

    arch: str
    version: str
    variant: str


class Partition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What lies in one of the two sets of partitions, and whether the next boot is into it."""

    image: UpdateImage
    next_to_boot: bool


class CommandResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the last command ended. `timestamp` (RFC 3339 UTC) differs from one to the next.

    Upstream's types allow null for status and text, but it always sets them.
    """

    cmd_type: Command
    cmd_status: CommandStatus
    timestamp: str
    exit_status: int | None = None
    stderr: str | None = None


class UpdateStatus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole answer. `available_updates` are versions, newest first."""

    update_state: UpdateState = UpdateState.IDLE
    available_updates: list[str] = []
    chosen_update: UpdateImage | None = None
    active_partition: Partition | None = None
    staging_partition: Partition | None = None
    most_recent_command: CommandResult | None = None
