"""Staging and committing settings: each caller's transactions are its own.

The owner's values go into the settings. Keys that a container writes into admin's user-data are
kept beside them, with who and since, and go when admin is switched off by anyone.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from contract import keyline
from contract.errors import ConflictError, SheltieError, UsageError
from contract.peer import Peer
from contract.userdata import merge_keys, plain_keys
from host.callers import ADMIN_ENABLED, ADMIN_USER_DATA, Caller, check_restore, check_write
from host.store.state import Generation, Handed, Live, Origin, Store

__all__ = ["DEFAULT", "Change", "NothingPendingError", "Transactions", "committed", "utc_now"]

DEFAULT: Final = "default"
"""The transaction that a call without `tx` means."""
NAME_MAX: Final = 64
"""Longest transaction name in bytes: tripled by percent-encoding it must still be a file name."""
OPEN_MAX: Final = 64
"""Transactions that one caller may have pending: each may hold a whole body (2 MiB) on disk."""
HANDED_MAX: Final = 64
"""Keys that may be handed over for one enabling: more is a mistake, or an attempt to fill up."""


class NothingPendingError(SheltieError):
    """Upstream's answer to a commit of nothing."""

    kind = "NOTHING_PENDING"
    http_status = 422

    def __init__(self) -> None:
        super().__init__("Tried to commit with no pending changes")


@dataclass(frozen=True, slots=True)
class Change:
    """A commit that has happened: by whom, from what, to what; `names` were set, `removed` went."""

    caller: Caller
    peer: Peer
    before: Live
    after: Live
    names: list[str]
    removed: list[str]

    @property
    def restored(self) -> int:
        """The generation that came back, 0 for none."""
        return self.after.origin.restored


class Transactions:
    """The settings as the API works on them. Methods raise what the store raises.

    `tell` hears of each commit once it is durable, before anybody else does.
    """

    def __init__(self, store: Store, now: Callable[[], str] | None = None) -> None:
        self._store = store
        self._now = now or utc_now
        self.tell: Callable[[Change], None] = _to_nobody

    @property
    def live(self) -> Live:
        """The committed state."""
        return self._store.live()

    @property
    def problems(self) -> Sequence[str]:
        """What does not work with the store, in sentences."""
        return self._store.problems

    def generations(self) -> Sequence[Generation]:
        """Return the commits that are kept, the oldest first and the live one last."""
        return self._store.generations()

    def generation(self, number: int) -> Live:
        """Return the state of a kept commit. Raises NotFoundError (GENERATION_GONE)."""
        return self._store.generation(number)

    def stage(self, caller: Caller, name: str, values: Mapping[str, Any]) -> None:
        """Add `values` to the caller's transaction `name`; None stands for a name that goes.

        Raises RefusedError after dropping the transaction: of a refused call nothing stays.
        """
        _check_name(name)
        try:
            check_write(caller, values)
        except SheltieError:
            self._store.put(caller.label, name, {})
            raise
        present = dict(self._store.pending(caller.label, name))
        if not present and values and len(self._store.names(caller.label)) >= OPEN_MAX:
            raise ConflictError(
                f"{caller} has {OPEN_MAX} transactions pending already",
                hint="commit or delete some (GET /tx/list names them)",
                code="TRANSACTIONS_FULL",
            )
        self._store.put(caller.label, name, present | _with_staged_keys(caller, present, values))

    def pending(self, caller: Caller, name: str) -> Mapping[str, Any]:
        """Return the caller's pending values; empty when there are none."""
        _check_name(name)
        return self._store.pending(caller.label, name)

    def names(self, caller: Caller) -> Sequence[str]:
        """Return the names of the caller's transactions."""
        return self._store.names(caller.label)

    def drop(self, caller: Caller, name: str) -> list[str]:
        """Drop the caller's transaction and return the names of what it held."""
        values = self.pending(caller, name)
        self._store.put(caller.label, name, {})
        return sorted(values)

    def commit(self, caller: Caller, peer: Peer, name: str) -> list[str]:
        """Merge the caller's transaction into the live state and return the names it held.

        Raises NothingPendingError, RefusedError, ConflictError (HANDED_FULL).
        """
        values = self.pending(caller, name)
        if not values:
            raise NothingPendingError
        check_write(caller, values)
        self._replace(caller, peer, committed(self.live, values, caller, peer.uid, self._now()))
        self._store.put(caller.label, name, {})
        return sorted(values)

    def restore(self, caller: Caller, peer: Peer, number: int) -> list[str]:
        """Commit the settings of a generation again and return the names that this changes.

        Keys that were handed over stay, unless admin is off in them. Raises RefusedError,
        NotFoundError (GENERATION_GONE).
        """
        check_restore(caller)
        back, now = self.generation(number).settings, self.live.settings
        values = {name: None for name in now if name not in back}
        values |= {name: value for name, value in back.items() if now.get(name) != value}
        after = committed(self.live, values, caller, peer.uid, self._now(), number)
        self._replace(caller, peer, after)
        return sorted(values)

    def _replace(self, caller: Caller, peer: Peer, after: Live) -> None:
        before = self.live
        self._store.replace(after)
        gone = [name for name in after.origin.changed if name not in after.settings]
        removed = [name for name in gone if name in before.settings]
        names = [name for name in after.origin.changed if name not in removed]
        self.tell(Change(caller, peer, before, after, names, removed))


def committed(
    live: Live, values: Mapping[str, Any], caller: Caller, uid: int, now: str, restored: int = 0
) -> Live:
    """Return the state that follows `live` when `caller` commits `values` at `now`."""
    settings, handed = dict(live.settings), live.handed
    for name, value in values.items():
        if name == ADMIN_USER_DATA and not caller.is_host:
            handed = _handed_over(handed, value, caller, uid, now)
        elif value is None:
            settings.pop(name, None)
        else:
            settings[name] = value
    # Also where the name has gone: what is not enabled is off.
    if ADMIN_ENABLED in values and settings.get(ADMIN_ENABLED) is not True:
        handed = ()
    opened = live.opened
    if settings.get(ADMIN_ENABLED) is not True:
        opened = ""
    elif live.settings.get(ADMIN_ENABLED) is not True:
        opened = now
    origin = Origin(now, f"{caller.label} uid {uid}", tuple(sorted(values)), restored)
    return Live(settings, handed, live.serial + 1, opened, origin)


def _to_nobody(change: Change) -> None:
    """Nobody listens yet."""


def utc_now() -> str:
    """Return the time as RFC 3339 in UTC, in whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _handed_over(
    handed: tuple[Handed, ...], value: str, caller: Caller, uid: int, now: str
) -> tuple[Handed, ...]:
    """Add the keys of the user-data `value`; one that is there already keeps who and since."""
    present = {keyline.parse(entry.key).blob for entry in handed}
    for line in plain_keys(base64.b64decode(value, validate=True)):
        blob = keyline.parse(line).blob
        if blob not in present:
            present.add(blob)
            handed = (*handed, Handed(line, caller.label, uid, now))
    if len(handed) > HANDED_MAX:
        raise ConflictError(
            f"more than {HANDED_MAX} keys handed over",
            hint="disable admin to drop them all",
            code="HANDED_FULL",
        )
    return handed


def _with_staged_keys(
    caller: Caller, present: Mapping[str, Any], values: Mapping[str, Any]
) -> dict[str, Any]:
    """Let keys staged twice in one transaction add up, as they do over two."""
    staged, added = present.get(ADMIN_USER_DATA), values.get(ADMIN_USER_DATA)
    if caller.is_host or staged is None or added is None:
        return dict(values)
    return {**values, ADMIN_USER_DATA: _merged(staged, added)}


def _merged(first: str, second: str) -> str:
    keys = plain_keys(base64.b64decode(second, validate=True))
    return base64.b64encode(merge_keys(base64.b64decode(first, validate=True), keys)).decode()


def _check_name(name: str) -> None:
    if not name:
        raise UsageError("Input 'tx' cannot be empty", code="TRANSACTION_NAME")
    if len(name.encode("utf-8", "surrogatepass")) > NAME_MAX:
        raise UsageError(
            f"Transaction names are at most {NAME_MAX} bytes long", code="TRANSACTION_NAME"
        )
