"""The state machine of updates: what may be ordered when, and what becomes of it. Pure.

    command      from                 to
    refresh      any                  Idle or Available becomes one of the two; others stay
    prepare      Available, Staged    Staged
    activate     Staged               Ready
    deactivate   Ready                Staged

Statuses and texts are upstream's (thar-be-updates). A failed command leaves the state as it was;
but a failed refresh leaves none chosen, and a prepare that fails, or is never ended, leaves nothing
in the other partition that could be activated (upstream would activate what is left of it).
"""

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from contract.errors import ConflictError, NotFoundError
from contract.update import (
    Command,
    CommandResult,
    CommandStatus,
    Partition,
    UpdateState,
    UpdateStatus,
)
from host.update.choice import Offer
from host.update.seam import Slots, Standing

__all__ = ["ALLOWED", "LockedError", "begin", "end", "found"]

ALLOWED: Final[Mapping[Command, frozenset[UpdateState]]] = {
    Command.REFRESH: frozenset(UpdateState),
    Command.PREPARE: frozenset({UpdateState.AVAILABLE, UpdateState.STAGED}),
    Command.ACTIVATE: frozenset({UpdateState.STAGED}),
    Command.DEACTIVATE: frozenset({UpdateState.READY}),
}


class LockedError(ConflictError):
    """A command is at work."""

    kind = "UPDATE_LOCKED"
    http_status = 423


def found(status: UpdateStatus, slots: Slots, *, at_start: bool = False) -> UpdateStatus:
    """Return `status` as it is by what the engine finds; only that outlives a reboot for sure.

    At a start a choice is dropped that failed meanwhile: a refresh may choose it again.
    """
    following = slots.version(Standing.NEXT)
    staged = following or slots.version(Standing.STAGED)
    chosen = status.chosen_update
    failed = slots.version(Standing.SET_ASIDE) if at_start else None
    if chosen in {slots.running, failed}:
        chosen = None
    state = UpdateState.IDLE if chosen is None else UpdateState.AVAILABLE
    if staged is not None:
        state = UpdateState.STAGED if following is None else UpdateState.READY
    return replace(
        status,
        update_state=state,
        chosen_update=chosen,
        active_partition=Partition(slots.running, next_to_boot=following is None),
        staging_partition=staged and Partition(staged, next_to_boot=following is not None),
    )


def begin(status: UpdateStatus, command: Command) -> UpdateStatus:
    """Return the status to keep while `command` is at work.

    Raises ConflictError (UPDATE_NOT_ALLOWED), NotFoundError (UPDATE_NOT_CHOSEN, UPDATE_NOT_STAGED).
    """
    if status.update_state not in ALLOWED[command]:
        raise ConflictError(
            "Update action not allowed according to update state", code="UPDATE_NOT_ALLOWED"
        )
    if command is Command.PREPARE:
        if status.chosen_update is None:
            raise NotFoundError(
                "Previously chosen Update no longer exists", code="UPDATE_NOT_CHOSEN"
            )
        return replace(status, update_state=UpdateState.AVAILABLE, staging_partition=None)
    if command is not Command.REFRESH and status.staging_partition is None:
        raise NotFoundError(
            "No update image applied to staging partition", code="UPDATE_NOT_STAGED"
        )
    return status


def end(status: UpdateStatus, result: CommandResult, found: Offer | None = None) -> UpdateStatus:
    """Return what becomes of `status`, which `begin` gave; `found` is what a refresh found."""
    status = replace(status, most_recent_command=result)
    succeeded = result.cmd_status is CommandStatus.SUCCESS
    match result.cmd_type:
        case Command.REFRESH:
            return _refreshed(status, found if succeeded else None)
        case Command.PREPARE if succeeded and status.chosen_update is not None:
            staged = Partition(status.chosen_update, next_to_boot=False)
            return replace(status, update_state=UpdateState.STAGED, staging_partition=staged)
        case Command.ACTIVATE if succeeded:
            return _boots_staged(replace(status, update_state=UpdateState.READY), yes=True)
        case Command.DEACTIVATE if succeeded:
            return _boots_staged(replace(status, update_state=UpdateState.STAGED), yes=False)
        case _:
            return status


def _refreshed(status: UpdateStatus, found: Offer | None) -> UpdateStatus:
    early = status.update_state in {UpdateState.IDLE, UpdateState.AVAILABLE}
    if found is None and not early:
        return status
    offer = found or Offer()
    state = status.update_state
    if early:
        state = UpdateState.IDLE if offer.chosen is None else UpdateState.AVAILABLE
    return replace(
        status,
        update_state=state,
        available_updates=list(offer.versions),
        chosen_update=offer.chosen,
    )


def _boots_staged(status: UpdateStatus, *, yes: bool) -> UpdateStatus:
    active, staging = status.active_partition, status.staging_partition
    return replace(
        status,
        active_partition=active and replace(active, next_to_boot=not yes),
        staging_partition=staging and replace(staging, next_to_boot=yes),
    )
