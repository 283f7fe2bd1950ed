"""What an audit tells of: one type for each kind of event, each with a stable code.

No event holds a value of a setting: names only. Texts that others chose are cut to a length.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

__all__ = [
    "ActStarted",
    "Acted",
    "AuditDamaged",
    "AuditDropped",
    "AuditRepaired",
    "AuditResumed",
    "Called",
    "ContainerAdopted",
    "ContainerFailed",
    "ContainerStarted",
    "ContainerStopped",
    "DaemonEnded",
    "DaemonStarted",
    "DoorClosed",
    "DoorOpened",
    "Entry",
    "Event",
    "ExecEnded",
    "ExecStarted",
    "HostChanged",
    "HostTouched",
    "HostVerified",
    "ImageCorrupted",
    "ImageFailed",
    "ImagePulled",
    "ImageReady",
    "ImageRemoved",
    "Login",
    "RebootDeferred",
    "Refused",
    "SessionEnded",
    "SessionStarted",
    "SettingsChanged",
    "SettingsFound",
    "SettingsRecovered",
    "UpdateEnded",
    "UpdateFailed",
    "Who",
    "cut",
    "entry",
    "shortened",
]

TEXT_MAX: Final = 1000
"""Longest text in characters, where others chose it."""
WORDS_MAX: Final = 1024
"""Most words of a list that others chose."""
ALL_MAX: Final = 32 << 10
"""Most characters of such a list together."""


class Who(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who did it: the caller is the socket it came by; the rest is what the kernel says of them.

    `pid` is 0 and `outside` true for a process outside the daemon's pid namespace. `started` is the
    process's start in clock ticks since boot, which with the pid names it for good. `cgroup_id` is
    the kernel's own word (Linux 6.13), `cgroup` the path that /proc gave.
    """

    caller: str
    uid: int
    gid: int
    pid: int = 0
    outside: bool = False
    started: int = 0
    cgroup_id: int = 0
    cgroup: str = ""


class _Event(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="code"):
    """An event; on the wire its `code` says of which kind."""


class DaemonStarted(_Event, frozen=True, tag="daemon.started"):
    """The daemon is up, with generation `generation` of the settings; `boot` is the boot's id."""

    release: str
    pid: int
    runtime: str
    generation: int
    boot: str = ""


class DaemonEnded(_Event, frozen=True, tag="daemon.ended"):
    """The daemon ends; `containers` says whether they `stay` or are `stopped`."""

    containers: str


class SettingsChanged(_Event, frozen=True, tag="settings.changed"):
    """A commit made generation `generation` out of the one before.

    `names` were set and `removed` are gone. `restored` is the older generation that came back.
    `keys` are the fingerprints of keys that a container handed over by it.
    """

    who: Who
    generation: int
    names: list[str] = []
    removed: list[str] = []
    restored: int = 0
    keys: list[str] = []


class SettingsFound(_Event, frozen=True, tag="settings.found"):
    """At its start the daemon found another generation than the audit knew of.

    It crashed between commit and audit, or somebody changed the file beneath it.
    """

    generation: int
    known: int


class SettingsRecovered(_Event, frozen=True, tag="settings.recovered"):
    """The live file was broken; generation `generation` was taken in its place."""

    generation: int
    why: str


class Called(_Event, frozen=True, tag="called"):
    """A call that may change something was answered with `status`.

    `error` is the code of a failure. `times` above 1 stands for as many failures of this caller,
    which came too fast to be written one by one.
    """

    who: Who
    method: str
    path: str
    status: int
    tx: str = ""
    error: str = ""
    times: int = 1


class Refused(_Event, frozen=True, tag="refused"):
    """The callers' table said no. `times` as in Called."""

    who: Who
    what: str
    why: str
    error: str
    times: int = 1


class ExecStarted(_Event, frozen=True, tag="exec.started"):
    """A command is about to be started in container `target`."""

    who: Who
    target: str
    argv: list[str]
    tty: bool = False


class ExecEnded(_Event, frozen=True, tag="exec.ended"):
    """That command is over.

    `started` is the number of the record that tells of its start, 0 where it has none yet.
    """

    who: Who
    target: str
    started: int
    result: str


class ContainerStarted(_Event, frozen=True, tag="container.started"):
    """A host container runs."""

    name: str
    pid: int = 0
    image: str = ""
    digest: str = ""
    superpowered: bool = False
    restarts: int = 0


class ContainerAdopted(_Event, frozen=True, tag="container.adopted"):
    """A host container that a daemon before this one started was found running."""

    name: str
    pid: int = 0
    image: str = ""
    digest: str = ""


class ContainerStopped(_Event, frozen=True, tag="container.stopped"):
    """A host container was stopped, as somebody wanted."""

    name: str
    status: int | None = None


class ContainerFailed(_Event, frozen=True, tag="container.failed"):
    """A host container ended by itself, or could not be started or stopped."""

    name: str
    why: str
    status: int | None = None


class DoorOpened(_Event, frozen=True, tag="door.opened"):
    """Admin was enabled."""

    who: Who
    keys: list[str] = []


class DoorClosed(_Event, frozen=True, tag="door.closed"):
    """Admin was disabled."""

    who: Who


class ImagePulled(_Event, frozen=True, tag="image.pulled"):
    """An image came from a registry or an archive."""

    source: str
    digest: str = ""


class ImageReady(_Event, frozen=True, tag="image.ready"):
    """An image of the cache is used though its source was not asked, or did not answer."""

    source: str
    digest: str = ""
    why: str = ""


class ImageRemoved(_Event, frozen=True, tag="image.removed"):
    """An image left the cache."""

    digest: str
    source: str = ""


class ImageFailed(_Event, frozen=True, tag="image.failed"):
    """An image could not be had."""

    source: str
    why: str


class Login(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who came in by SSH: from where, by which key, and what for: `access` is `root` or `look`."""

    user: str
    peer: str
    key: str
    access: str


class SessionStarted(_Event, frozen=True, tag="session.started"):
    """A session of an SSH login begins; `session` is its name in status and in its cgroup's."""

    session: str
    login: Login


class SessionEnded(_Event, frozen=True, tag="session.ended"):
    """It is over."""

    session: str
    login: Login


class ActStarted(_Event, frozen=True, tag="act.started"):
    """An action is about to be run on the host; what came of it `acted` tells, if it ends."""

    who: Who
    action: str
    parameters: dict[str, str]
    session: str = ""
    login: Login | None = None


class Acted(_Event, frozen=True, tag="acted"):
    """An action was run on the host, with these parameters, and `result` came of it.

    `result` is `done`, or begins with `failed` or `refused`. `login` and `session` are whose it
    was, where an SSH session is found that it belongs to.
    """

    who: Who
    action: str
    parameters: dict[str, str]
    result: str
    session: str = ""
    login: Login | None = None


class ImageCorrupted(_Event, frozen=True, tag="image.corrupted"):
    """The host's own image is not what its root hash stands for: reading this block failed.

    `kind` is `data` or `hash`; empty where it was found before anybody listened.
    """

    kind: str = ""
    block: int = 0


class HostChanged(_Event, frozen=True, tag="host.changed"):
    """What is otherwise on the host than before session `session`, a line for each change.

    `session` is `exec` for entries without an SSH session. `record` is the ledger's number of it,
    where all of it stands; `notes` say what may be missing.
    """

    session: str
    record: int
    began: str
    changes: list[str]
    notes: list[str] = []


class AuditRepaired(_Event, frozen=True, tag="audit.repaired"):
    """The last line was torn, as by a power cut; its `size` bytes of this SHA-256 were removed."""

    segment: str
    size: int
    sha256: str


class AuditDamaged(_Event, frozen=True, tag="audit.damaged"):
    """The audit's own file is not as it was written; it is left as it is, and a new one begun."""

    segment: str
    why: str


class AuditResumed(_Event, frozen=True, tag="audit.resumed"):
    """Writing works again after `why`: `kept` events waited in memory, `lost` found no room."""

    why: str
    kept: int
    lost: int


class AuditDropped(_Event, frozen=True, tag="audit.dropped"):
    """The oldest segment goes, for room: its last record was `through`, of hash `hash`."""

    segment: str
    through: int
    hash: str


class UpdateEnded(_Event, frozen=True, tag="update.ended"):
    """A command about the host's own image ended: upstream's four, and `rollback`."""

    command: str
    result: str
    version: str = ""
    why: str = ""


class UpdateFailed(_Event, frozen=True, tag="update.failed"):
    """A version was given up by the loader: it did not come up, or its health check failed."""

    version: str
    why: str


class RebootDeferred(_Event, frozen=True, tag="reboot.deferred"):
    """A reboot was ordered, and waits up to `seconds` for those who are in admin."""

    sessions: int
    seconds: int


class HostTouched(_Event, frozen=True, tag="host.touched"):
    """Somebody could be root on the host, for the first time since its image was booted."""

    by: str


class HostVerified(_Event, frozen=True, tag="host.verified"):
    """A verified image was booted again, after the host had been touched at `touched`."""

    touched: str


Event = (
    DaemonStarted
    | DaemonEnded
    | SettingsChanged
    | SettingsFound
    | SettingsRecovered
    | Called
    | Refused
    | ExecStarted
    | ExecEnded
    | ContainerStarted
    | ContainerAdopted
    | ContainerStopped
    | ContainerFailed
    | DoorOpened
    | DoorClosed
    | ImagePulled
    | ImageReady
    | ImageRemoved
    | ImageFailed
    | SessionStarted
    | SessionEnded
    | ActStarted
    | Acted
    | ImageCorrupted
    | HostChanged
    | AuditRepaired
    | AuditDamaged
    | AuditResumed
    | AuditDropped
    | UpdateEnded
    | UpdateFailed
    | RebootDeferred
    | HostTouched
    | HostVerified
)


class Entry(msgspec.Struct, frozen=True):
    """One record of the audit.

    `time` is RFC 3339 in UTC, by a clock that may be wrong; `up` counts milliseconds since the
    boot and only goes forward.
    """

    time: str
    up: int
    event: Event


def entry(event: Event) -> Entry:
    """Return the record of an event that happens now."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Entry(now, time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000, event)


def cut(text: str) -> str:
    """Return `text` cut to what an event may hold; what was left out is said."""
    return text if len(text) <= TEXT_MAX else f"{text[:TEXT_MAX]}… ({len(text)} characters)"


def shortened(words: Sequence[str]) -> list[str]:
    """Return `words` cut to what an event may hold; what was left out is said."""
    kept: list[str] = []
    room = ALL_MAX
    for word in map(cut, words[:WORDS_MAX]):
        if len(word) > room:
            break
        kept.append(word)
        room -= len(word)
    if len(kept) < len(words):
        kept.append(f"… ({len(words) - len(kept)} more)")
    return kept
