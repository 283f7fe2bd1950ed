"""What the daemon tells, for people. Rich is imported by the tables that need it."""

from typing import TYPE_CHECKING, Any

import msgspec

from contract.chain import Link
from contract.commit import Committed
from contract.event import Entry
from contract.status import ContainerStatus, HostStatus, SystemStatus

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["chained", "committed", "differences", "entry", "generations", "status"]

_WIDE = 240
_DIGEST = 19  # "sha256:" and what tells one image from another


def status(found: HostStatus, console: "Console | None" = None) -> None:
    """Print a HostStatus."""
    console = console or _console()
    console.print(f"daemon {found.version}, pid {found.pid}, runtime {found.runtime}", markup=False)
    if found.system is not None:
        shown = f"image {found.system.slot}, root hash {found.system.root_hash}"
        console.print(f"{shown}\n{_integrity(found.system)}", markup=False)
    if found.touched is not None:
        console.print(f"TOUCHED since {found.touched.since}: {found.touched.by}", markup=False)
    console.print(_door(found), markup=False)
    titles = ("CONTAINER", "WANTED", "STATE", "SINCE", "PID", "RESTARTS", "EXIT", "USES")
    _table((*titles, "IMAGE", "NOTE"), [_row(one) for one in found.containers], console)
    console.print(_settings(found), markup=False)
    for problem in found.problems:
        console.print(f"note: {problem}", markup=False)


def generations(body: bytes) -> None:
    """Print the answer of GET generations."""
    rows = [
        [str(one["number"]), one["at"], one["by"], _changed(one["changed"], one["restored"])]
        for one in msgspec.json.decode(body)
    ]
    _table(("GENERATION", "AT", "BY", "CHANGED"), rows, _console())


def differences(body: bytes) -> None:
    """Print the answer of GET generations/diff."""
    found = msgspec.json.decode(body)
    for sign, part in (("-", "removed"), ("+", "added")):
        for name, value in found[part].items():
            _line(f"{sign} {name} = {_text(value)}")
    for name, pair in found["changed"].items():
        _line(f"- {name} = {_text(pair['from'])}")
        _line(f"+ {name} = {_text(pair['to'])}")


def committed(body: bytes) -> None:
    """Print a Committed."""
    found = msgspec.json.decode(body, type=Committed)
    _line(f"generation {found.generation}: {_changed(found.changed, 0) or 'nothing changed'}")
    for one in found.containers:
        _line(f"{one.name}: {one.did.value}, {one.state.value} {one.reason}".rstrip())
    if not found.settled:
        _line("not everything is done yet: `hostd status` shows how it goes on")


def chained(link: Link) -> str:
    """Return the line of a record."""
    return entry(link.seq, msgspec.convert(link.record, Entry))


def entry(number: int, found: Entry) -> str:
    """Return the line of an event: number, time, code, who, and the rest as key=value."""
    event: dict[str, Any] = msgspec.to_builtins(found.event)
    code, who = event.pop("code"), event.pop("who", None)
    words = [str(number), found.time, code]
    if who is not None:
        pid = "outside" if who.get("outside") else f"pid {who.get('pid', 0)}"
        words.append(f"{who['caller']}(uid {who['uid']}, {pid})")
    return " ".join([*words, *(f"{name}={_text(value)}" for name, value in event.items())])


def _integrity(system: SystemStatus) -> str:
    return ", ".join(f"{name} {value}" for name, value in system.integrity())


def _door(found: HostStatus) -> str:
    if not found.door.open:
        return "door: closed"
    keys = [f"{handed.key.fingerprint} {handed.key.comment}".strip() for handed in found.door.keys]
    whose = f", keys handed over: {', '.join(keys)}" if keys else ""
    return f"door: OPEN, NO LEASE, since {found.door.since}{whose}"


def _settings(found: HostStatus) -> str:
    audit = "" if found.audit is None else f"; audit: {found.audit.records} records"
    return f"settings: generation {found.generation}{audit}"


def _row(one: ContainerStatus) -> list[str]:
    return [
        one.name,
        "enabled" if one.enabled else "disabled",
        one.state.value,
        one.since,
        str(one.pid or ""),
        str(one.restarts or ""),
        "" if one.last_exit is None else str(one.last_exit),
        _uses(one),
        f"{one.image} {one.digest[:_DIGEST]}".strip(),
        one.reason,
    ]


def _uses(one: ContainerStatus) -> str:
    words = []
    if one.memory_bytes is not None:
        words.append(f"{one.memory_bytes / (1 << 20):.0f} MB")
    if one.cpu_seconds is not None:
        words.append(f"{one.cpu_seconds:.1f} s")
    if one.pids is not None:
        words.append(f"{one.pids} pids")
    return ", ".join(words)


def _changed(names: list[str], restored: int) -> str:
    back = [f"restored {restored}:"] if restored else []
    return " ".join([*back, *(name.removeprefix("settings.") for name in names)])


def _table(titles: tuple[str, ...], rows: list[list[str]], console: "Console") -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(*titles, box=None)
    for row in rows:
        table.add_row(*map(escape, row))
    if rows:
        console.print(table)


def _console() -> "Console":
    import sys

    from rich.console import Console

    # Without a terminal nothing says how wide a line may be: programs read whole words.
    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)


def _text(value: Any) -> str:
    """Return a value as JSON: one line, and nothing that a terminal obeys."""
    import json

    return json.dumps(value)


def _line(text: str) -> None:
    import sys

    sys.stdout.write(f"{text}\n")
