"""What the commands say to people: rich on a terminal, plain lines in a pipe."""

import sys
from collections.abc import Iterable, Iterator

from contract.address import format_address
from contract.status import ContainerStatus, HandedKey
from control.enabling import Opened
from control.state import State

__all__ = ["opened", "show", "state"]

Row = tuple[str, str]


def show(rows: Iterable[Row]) -> None:
    """Print pairs of a name and a value; a row without a name is a line of its own."""
    if not sys.stdout.isatty():
        sys.stdout.write(
            "".join(f"{name}: {value}\n" if name else f"{value}\n" for name, value in rows)
        )
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(Text(name, "dim"), Text(value, _style(name, value)))
    Console(highlight=False).print(table)


def opened(result: Opened) -> Iterator[Row]:
    """Yield what enabling says."""
    answer = result.answer
    yield "admin", "enabled" if result.changed else "enabled already"
    for note in result.notes:
        yield "note", note
    if answer is None:
        yield "next", "control status"
        return
    yield "door", "OPEN, NO LEASE: it stays open until disable-admin-container"
    if result.command:
        yield "ssh", result.command
    for line in result.known_hosts:
        yield "known_hosts", line
    for problem in result.problems:
        yield "problem", problem
    if not answer.status.ready:
        yield "problem", "nobody can log in yet: hand over a key with --key"


def state(found: State) -> Iterator[Row]:
    """Yield what status says."""
    door = found.host.door
    since = f" since {door.since}" if door.since else ""
    yield "door", f"OPEN, NO LEASE{since}" if door.open else "SHUT"
    for handed in door.keys:
        yield "  for", _handed(handed)
    if found.admin is not None:
        for host, port in found.admin.listen:
            yield "  ssh", f"{found.admin.user} at {format_address(host, port)}"
        for key in found.admin.keys:
            only = "" if key.access == "root" else f" (only {key.access})"
            yield "  key", f"{key.fingerprint} {key.type} {key.comment}".rstrip() + only
        for one in found.admin.sessions:
            kind = "terminal" if one.tty else "command"
            only = "" if one.access == "root" else f", only {one.access}"
            yield "  in", f"{one.user} from {one.peer} since {one.since}, {kind}, {one.key}{only}"
    for container in found.host.containers:
        yield container.name, _container(container)
    system = found.host.system
    if system is not None:
        yield "image", f"{system.slot}, root hash {system.root_hash}"
        yield "  is", ", ".join(f"{name} {value}" for name, value in system.integrity())
    if found.is_stock:
        yield "host", "offers upstream's API alone: what runs there is known as far as it answers"
        if door.open:
            yield "note", "it starts admin anew at every write: another key throws out who is in"
    if touched := found.host.touched:
        yield "touched", f"since {touched.since}, {touched.by}: until it is rebooted"
    for problem in found.problems:
        yield "problem", problem


def _handed(handed: HandedKey) -> str:
    key = handed.key
    since = f" at {handed.since}" if handed.since else ""
    return f"{key.fingerprint} {key.comment}".rstrip() + f", handed over by {handed.by}{since}"


def _container(container: ContainerStatus) -> str:
    words = [str(container.state)]
    if container.since:
        words.append(f"since {container.since}")
    if container.superpowered:
        words.append("superpowered")
    text = ", ".join([" ".join(words[:2]), *words[2:]]) if container.since else ", ".join(words)
    return f"{text}: {container.reason}" if container.reason else text


def _style(name: str, value: str) -> str:
    if name in {"note", "problem"}:
        return "yellow"
    if name == "door":
        return "bold red" if value.startswith("OPEN") else "green"
    return "bold" if name == "ssh" else ""
