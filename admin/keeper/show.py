"""The keeper's status for people: rich on a terminal, plain lines in a pipe."""

import sys
from collections.abc import Iterator

from contract.address import format_address
from contract.rpc import AdminStatus

__all__ = ["lines", "show"]


def show(status: AdminStatus) -> None:
    """Print the status."""
    if not sys.stdout.isatty():
        sys.stdout.write("".join(f"{name}: {value}\n" for name, value in lines(status)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    styles = {"door": "green" if status.ready else "red", "problem": "yellow"}
    for name, value in lines(status):
        table.add_row(Text(name, "dim"), Text(value, styles.get(name, "")))
    Console(highlight=False).print(table)


def lines(status: AdminStatus) -> Iterator[tuple[str, str]]:
    """Yield what there is to say, as pairs of a name and a value."""
    yield "door", "open: somebody may log in" if status.ready else "shut: nobody can log in"
    yield "user", status.user or "-"
    if status.since:
        yield "since", status.since
    for host, port in status.listen:
        yield "listens on", format_address(host, port)
    for key in status.keys:
        only = "" if key.access == "root" else f" (only {key.access})"
        yield "key", f"{key.fingerprint} {key.type} {key.comment}".rstrip() + only
    for one in status.sessions:
        kind = "terminal" if one.tty else "command"
        only = "" if one.access == "root" else f", only {one.access}"
        yield "session", f"{one.user} from {one.peer} since {one.since}, {kind}, {one.key}{only}"
    if status.check is not None:
        checked = status.check
        word = "the door answers as it must" if checked.ok else checked.seen[-1]
        yield "check", f"{word} ({checked.when}, {checked.where})"
    for refusal in status.refusals:
        who = f"{refusal.user or '-'} from {refusal.peer} at {refusal.when}"
        yield "refused", " ".join(f"{who}: {refusal.why} {refusal.key}".split())
    for problem in status.problems:
        yield "problem", problem
