"""The door's state as `admin status` and the rpc tell it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from contract.errors import UnavailableError
from contract.keyline import KeyLine
from contract.rpc import (
    KEYS_MAX,
    AdminStatus,
    CheckShown,
    HostKeys,
    LoginKey,
    RefusalShown,
    SessionShown,
)
from contract.userdata import ACCESS

__all__ = ["Report"]

# A reply is one line of at most rpc.LINE_MAX bytes, whatever user-data holds: 100 keys of 250
# bytes, 100 sessions of 240, 50 problems of 200 and 10 refusals of 450 leave room.
PROBLEMS_MAX = 50
SESSIONS_MAX = 100
REFUSALS_MAX = 10
HAPPENED_MAX = 5
COMMENT_BYTES = 100
PROBLEM_BYTES = 200
"""As JSON, where a character takes up to six bytes."""


@dataclass(frozen=True)
class Report:
    """A moment of the door. `trouble` is why the SSH server does not answer; empty when it does.

    `looking` are the fingerprints of keys that get only look; `others` is how many CAs and commands
    may let somebody in besides keys; `since` is RFC 3339 UTC: since when it is as it is; `refusals`
    are the last ones, the newest at the end; `check` is what the last self-check saw.
    """

    user: str
    usable: bool = True
    since: str = ""
    keys: tuple[KeyLine, ...] = ()
    looking: frozenset[str] = frozenset()
    others: int = 0
    listen: tuple[tuple[str, int], ...] = ()
    reached_at: tuple[tuple[str, int], ...] = ()
    host_keys: tuple[str, ...] = ()
    trouble: str = "the SSH server is starting"
    problems: tuple[str, ...] = ()
    happened: tuple[str, ...] = ()
    refusals: tuple[RefusalShown, ...] = ()
    check: CheckShown | None = None

    def refused(self, refusal: RefusalShown) -> "Report":
        """Return the report with one more refusal."""
        user, why = _short(refusal.user, COMMENT_BYTES), _short(refusal.why, PROBLEM_BYTES)
        shown = msgspec.structs.replace(refusal, user=user, why=why)
        return replace(self, refusals=(*self.refusals, shown)[-REFUSALS_MAX:])

    def troubled(self, what: str, when: str) -> "Report":
        """Return the report with what went wrong at `when`: each thing once, the newest last."""
        others = tuple(one for one in self.happened if not one.startswith(f"{what} (last at "))
        return replace(self, happened=(*others, f"{what} (last at {when})")[-HAPPENED_MAX:])

    def status(self, sessions: Sequence[SessionShown] = ()) -> AdminStatus:
        """Return the status with the live sessions, cut to what a reply holds."""
        troubles = (self.trouble,) if self.trouble else ()
        return AdminStatus(
            ready=bool(not self.trouble and (self.keys or self.others) and self.usable),
            user=self.user,
            since=self.since,
            listen=list(self.listen),
            reached_at=list(self.reached_at),
            keys=[
                LoginKey(
                    key.fingerprint,
                    key.type,
                    _short(key.comment, COMMENT_BYTES),
                    ACCESS[key.fingerprint in self.looking],
                )
                for key in self.keys[:KEYS_MAX]
            ],
            sessions=list(sessions[:SESSIONS_MAX]),
            refusals=list(self.refusals),
            check=self.check,
            problems=_short_list((*troubles, *self.happened, *self.problems)),
        )

    def host_keys_shown(self) -> HostKeys:
        """Return the public host keys. Raises UnavailableError (DOOR_NOT_READY) before they are."""
        if not self.host_keys:
            raise UnavailableError(
                f"no host keys yet: {self.trouble}", hint="try again", code="DOOR_NOT_READY"
            )
        return HostKeys(list(self.host_keys), list(self.listen), self.user)


def _short(text: str, room: int) -> str:
    """Return `text`, cut to `room` bytes of JSON."""
    shown, kept = text, text[:room]
    while len(msgspec.json.encode(shown)) > room:
        kept = kept[:-1]
        shown = f"{kept}…"
    return shown


def _short_list(problems: Sequence[str]) -> list[str]:
    shown = [_short(problem, PROBLEM_BYTES) for problem in problems[:PROBLEMS_MAX]]
    more = len(problems) - len(shown)
    return [*shown, f"… and {more} more"] if more else shown
