"""What the audit tells of changes: a commit, the door, and each container's way."""

from collections.abc import Callable, Sequence
from typing import Final

from contract import keyline
from contract.event import (
    ContainerAdopted,
    ContainerFailed,
    ContainerStarted,
    ContainerStopped,
    DoorClosed,
    DoorOpened,
    Event,
    SettingsChanged,
    cut,
    shortened,
)
from contract.status import ContainerState, ContainerStatus
from host.audit.calls import who
from host.callers import ADMIN_ENABLED
from host.store.state import Live
from host.store.transactions import Change

__all__ = ["Containers", "commit"]

_UP: Final = {ContainerState.RUNNING, ContainerState.STOPPING}


def commit(change: Change) -> Sequence[Event]:
    """Return the events of a commit."""
    whose = who(change.caller, change.peer)
    fresh = set(change.after.handed) - set(change.before.handed)
    keys = sorted(keyline.parse(entry.key).fingerprint for entry in fresh)
    changed = SettingsChanged(
        whose,
        change.after.serial,
        shortened(change.names),
        shortened(change.removed),
        change.restored,
        keys,
    )
    was, now = _admin(change.before), _admin(change.after)
    if was == now:
        return [changed]
    return [changed, DoorOpened(whose, keys) if now else DoorClosed(whose)]


class Containers:
    """Turns each container's states into events. `seen` is called at each of its changes."""

    def __init__(self, note: Callable[[Event], int]) -> None:
        self._note = note
        self._last: dict[str, ContainerStatus] = {}
        self._failure: dict[str, str] = {}

    def seen(self, now: ContainerStatus) -> None:
        """Take note of a container's state."""
        before = self._last.get(now.name)
        self._last[now.name] = now
        for event in _between(before, now):
            why = event.why if isinstance(event, ContainerFailed) else ""
            # What fails again and again in the same way is told once.
            if not why or why != self._failure.get(now.name):
                self._note(event)
            self._failure[now.name] = why


def _between(before: ContainerStatus | None, now: ContainerStatus) -> Sequence[Event]:
    was = before.state if before is not None else ContainerState.DISABLED
    image, digest = cut(now.image), now.digest
    if now.state is ContainerState.RUNNING:
        if before is None:
            return [ContainerAdopted(now.name, now.pid, image, digest)]
        if before.pid == now.pid and was in _UP:
            return [ContainerFailed(now.name, cut(now.reason))] if now.reason else []
        superpowered, restarts = now.superpowered, now.restarts
        return [ContainerStarted(now.name, now.pid, image, digest, superpowered, restarts)]
    if now.state in {ContainerState.WAITING, ContainerState.FAILED}:
        return [ContainerFailed(now.name, cut(now.reason), now.last_exit if was in _UP else None)]
    if was is ContainerState.STOPPING and now.state is not ContainerState.STOPPING:
        return [ContainerStopped(now.name, now.last_exit)]
    return []


def _admin(live: Live) -> bool:
    return live.settings.get(ADMIN_ENABLED) is True
