"""What the keeper and the monitor say to each other, over one SEQPACKET pair."""

import msgspec

from contract.rpc import SessionShown

__all__ = [
    "Configure",
    "Event",
    "Failed",
    "FromMonitor",
    "Ready",
    "Status",
    "StatusRequest",
    "ToMonitor",
]


class Configure(msgspec.Struct, tag=True, frozen=True):
    """Who may log in, and where to listen. Sent again, it replaces user and keys and drops nobody.

    `keys` are authorized-keys lines; `listen` is addresses with ports ("" is every address, port 0
    any free one), read the first time only.
    """

    user: str
    keys: list[str]
    listen: list[tuple[str, int]]
    host_keys: str


class StatusRequest(msgspec.Struct, tag=True, frozen=True):
    """Ask for Status with the same `id`."""

    id: int


class Ready(msgspec.Struct, tag=True, frozen=True):
    """Listening: the addresses, the public host keys, and what is not as it should be."""

    listen: list[tuple[str, int]]
    host_keys: list[str]
    problems: list[str]


class Failed(msgspec.Struct, tag=True, frozen=True):
    """Listening is not possible; the monitor ends after this."""

    code: str
    message: str


class Status(msgspec.Struct, tag=True, frozen=True):
    """Who is in, and how many connections there are."""

    id: int
    sessions: list[SessionShown]
    connections: int


class Event(msgspec.Struct, tag=True, frozen=True):
    """Something happened: `opened`, `login`, `refused`, `session`, `session-end`, `closed`."""

    what: str
    peer: str
    user: str = ""
    key: str = ""
    session: str = ""
    detail: str = ""


ToMonitor = Configure | StatusRequest
FromMonitor = Ready | Failed | Status | Event
