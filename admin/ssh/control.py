"""What the keeper and the monitor say to each other, over one SEQPACKET pair."""

import msgspec

from admin.ssh.forwarding import CLOSED, Forwarding
from contract.rpc import SessionShown

__all__ = [
    "Configure",
    "Event",
    "Failed",
    "FromMonitor",
    "Limits",
    "Ready",
    "Status",
    "StatusRequest",
    "ToMonitor",
    "Wishes",
]


class Wishes(msgspec.Struct, frozen=True):
    """What user-data says: a profile, and lists as sshd_config(5) has them, with `+ - ^`."""

    profile: str = "default"
    ciphers: list[str] = []
    kex: list[str] = []
    macs: list[str] = []


class Limits(msgspec.Struct, frozen=True):
    """The numbers. Times are in seconds, 0 for none; `exempt` are networks in CIDR.

    MaxStartups is `startups`, `startups_rate`, `startups_full`. `penalty_min` is from which debt on
    a source is kept out, `penalty_max` the most that it can owe.
    """

    startups: int = 80
    startups_rate: int = 30
    startups_full: int = 160
    per_source: int = 48
    connections: int = 256
    grace: float = 120
    tries: int = 6
    sessions: int = 10
    penalty_min: float = 15
    penalty_max: float = 600
    keep_alive: float = 60
    idle: float = 0
    unused: float = 0
    exempt: list[str] = []


class Configure(msgspec.Struct, tag=True, frozen=True):
    """Who may log in, and where to listen. Sent again, it replaces all but `listen`, drops nobody.

    `keys` are authorized-keys lines, `authorities` CAs of user certificates; `listen` is addresses
    with ports ("" is every address, port 0 any free one), read the first time only; `host_keys` is
    their directory. `instance_connect` stands for the command of EC2 Instance Connect. `look_keys`
    are lines like `keys` whose owners may only look, and with an `access` of `look` everybody.
    """

    user: str
    keys: list[str]
    listen: list[tuple[str, int]]
    host_keys: str
    authorities: list[str] = []
    keys_command: str = ""
    keys_command_user: str = ""
    instance_connect: bool = False
    look_keys: list[str] = []
    access: str = "root"
    algorithms: Wishes = Wishes()
    limits: Limits = Limits()
    forwarding: Forwarding = CLOSED


class StatusRequest(msgspec.Struct, tag=True, frozen=True):
    """Ask for Status with the same `id`."""

    id: int


class Ready(msgspec.Struct, tag=True, frozen=True):
    """Listening: the addresses, the public host keys, and what is not as it should be.

    `ways` is how many keys, CAs and commands may let somebody in.
    """

    listen: list[tuple[str, int]]
    host_keys: list[str]
    problems: list[str]
    ways: int


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
    """Something happened.

    `login`, `session`, `session-end`, `closed` of those who are in; `refused` with the reason for
    who tried and is not; `dropped` for other strangers, one for each source and minute; `forward`,
    what was forwarded, and `forward-refused`; `problem`; `host-key`, a public one more. `access` is
    the level of a login and its sessions.
    """

    what: str
    peer: str
    user: str = ""
    key: str = ""
    session: str = ""
    detail: str = ""
    access: str = ""


ToMonitor = Configure | StatusRequest
FromMonitor = Ready | Failed | Status | Event
