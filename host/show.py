"""The host's status for people. Rich is imported by whoever calls this, and by nobody else."""

from rich.console import Console
from rich.table import Table

from contract.status import ContainerStatus, HostStatus

__all__ = ["status"]


def status(found: HostStatus, console: Console | None = None) -> None:
    """Print a HostStatus."""
    console = console or Console(highlight=False)
    console.print(f"daemon {found.version}, pid {found.pid}, runtime {found.runtime}", markup=False)
    console.print(_door(found), markup=False)
    table = Table("CONTAINER", "STATE", "SINCE", "PID", "IMAGE", "NOTE", box=None)
    for container in found.containers:
        table.add_row(*_row(container))
    if found.containers:
        console.print(table)
    for problem in found.problems:
        console.print(f"note: {problem}", markup=False)


def _door(found: HostStatus) -> str:
    if not found.door.open:
        return "door: closed"
    keys = [f"{handed.key.fingerprint} {handed.key.comment}".strip() for handed in found.door.keys]
    whose = f", keys handed over: {', '.join(keys)}" if keys else ""
    return f"door: OPEN, NO LEASE, since {found.door.since}{whose}"


def _row(container: ContainerStatus) -> list[str]:
    from rich.markup import escape

    pid = str(container.pid) if container.pid else ""
    words = [container.name, container.state.value, container.since, pid]
    return [escape(word) for word in [*words, container.image, container.reason]]
