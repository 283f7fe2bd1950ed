"""Staging and committing settings: each caller's transactions are its own.

The owner's values go into the settings. Keys that a container writes into admin's user-data are
kept beside them, with who and since, and go when admin is switched off by anyone.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from contract import keyline
from contract.errors import ConflictError, SheltieError, UsageError
from contract.peer import Peer
from contract.userdata import merge_keys, plain_keys
from host.callers import ADMIN_ENABLED, ADMIN_USER_DATA, Caller, check_write
from host.store.state import Handed, Live, Store

__all__ = ["DEFAULT", "NothingPendingError", "Transactions", "committed", "utc_now"]

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


class Transactions:
    """The settings as the API works on them. Methods raise what the store raises."""

    def __init__(self, store: Store, now: Callable[[], str] | None = None) -> None:
        self._store = store
        self._now = now or utc_now

    @property
    def live(self) -> Live:
        """The committed state."""
        return self._store.live()

    def stage(self, caller: Caller, name: str, values: Mapping[str, Any]) -> None:
        """Add `values` (no nulls) to the caller's transaction `name`.

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
        self._store.replace(committed(self.live, values, caller, peer.uid, self._now()))
        self._store.put(caller.label, name, {})
        return sorted(values)


def committed(live: Live, values: Mapping[str, Any], caller: Caller, uid: int, now: str) -> Live:
    """Return the state that follows `live` when `caller` commits `values` at `now`."""
    settings, handed = dict(live.settings), live.handed
    for name, value in values.items():
        if name == ADMIN_USER_DATA and not caller.is_host:
            handed = _handed_over(handed, value, caller, uid, now)
        else:
            settings[name] = value
    if values.get(ADMIN_ENABLED) is False:
        handed = ()
    opened = live.opened
    if settings.get(ADMIN_ENABLED) is not True:
        opened = ""
    elif live.settings.get(ADMIN_ENABLED) is not True:
        opened = now
    return replace(live, settings=settings, handed=handed, serial=live.serial + 1, opened=opened)


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
