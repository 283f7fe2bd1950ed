"""What the ledger's processes tell each other: msgpack in packets (`admin/ssh/frame.py`)."""

import msgspec

from admin.ledger.tables import Change

__all__ = [
    "EXEC",
    "AllLeft",
    "Begin",
    "Begun",
    "Done",
    "End",
    "Ended",
    "Entered",
    "FromLedger",
    "FromListener",
    "Leftover",
    "Leftovers",
    "Lost",
    "Mounted",
    "Ready",
    "Record",
    "Replaced",
    "Seen",
    "Sync",
    "Synced",
    "ToLedger",
    "ToListener",
    "Unwatch",
    "Watch",
    "Wrote",
]

EXEC = "exec"
"""The key of all that was entered without an SSH session: by `apiclient exec` and the like."""


class _Message(msgspec.Struct, frozen=True, tag=True):
    """One packet."""


# Ledger -> listener.
class Watch(_Message, frozen=True):
    """A session begins: `key` is the name of its cgroup, `audit` its audit session id."""

    key: str
    audit: int


class Unwatch(_Message, frozen=True):
    """It is over."""

    key: str


class Sync(_Message, frozen=True):
    """Answer when all that happened until now is told."""

    number: int


ToListener = Watch | Unwatch | Sync


# Listener -> ledger.
class Ready(_Message, frozen=True):
    """The marks stand. `lacking` are sentences; `unseen` file systems that cannot be watched."""

    lacking: list[str]
    unseen: list[str]


class Seen(_Message, frozen=True):
    """A process of session `key` did something to a file; `mask` as fanotify(7) has it.

    Without a key the process was gone before it could be asked whose it was.
    """

    key: str
    mask: int
    path: bytes
    to: bytes = b""


class Replaced(_Message, frozen=True):
    """What it renamed last took the place of something at this path."""

    key: str
    path: bytes


class Mounted(_Message, frozen=True):
    """It mounted or unmounted something; without a key as in Seen."""

    key: str
    points: list[str]


class Wrote(_Message, frozen=True):
    """It wrote to a sysctl."""

    key: str
    path: str


class Entered(_Message, frozen=True):
    """sheltie or sudo was started."""

    key: str
    pid: int


class AllLeft(_Message, frozen=True):
    """All that entered without an SSH session have ended."""


class Lost(_Message, frozen=True):
    """So many changes have no name that can be found; 0: a queue overflowed, more is unknown."""

    events: int


class Synced(_Message, frozen=True):
    """The answer to Sync."""

    number: int


FromListener = Ready | Seen | Replaced | Mounted | Wrote | Entered | AllLeft | Lost | Synced


# Session, leftovers -> ledger.
class Begin(_Message, frozen=True):
    """A session begins; it is over when its connection is."""

    key: str
    audit: int
    user: str
    root: bool
    """Whether the login is root's."""


class End(_Message, frozen=True):
    """All of the processes have ended; tell what is different now."""


class Leftovers(_Message, frozen=True):
    """Tell what of all that was recorded is still there."""


ToLedger = Begin | End | Leftovers


# Ledger -> session, leftovers.
class Begun(_Message, frozen=True):
    """The session is known."""


class Record(_Message, frozen=True):
    """The ledger of one session. Times are RFC 3339 in UTC."""

    number: int
    key: str
    user: str
    began: str
    ended: str
    changes: list[Change]
    notes: list[str] = []
    """What this ledger may have missed, or counts too much."""


class Ended(_Message, frozen=True):
    """The record of a session that is over, cut to what a packet holds."""

    record: Record
    more: int = 0


class Leftover(_Message, frozen=True):
    """A change of a record that is still there."""

    record: int
    index: int
    key: str
    user: str
    ended: str
    change: Change


class Done(_Message, frozen=True):
    """Nothing more comes; `unseen` is what the ledger cannot see."""

    unseen: list[str]
    failed: str = ""


FromLedger = Begun | Ended | Leftover | Done
