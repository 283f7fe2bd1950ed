"""`hostd audit`: reading and checking the audit, with or without a daemon."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from contract.errors import FailedError
from host.commands.options import STATE, Json, State

__all__ = ["app"]

app = typer.Typer(
    help="Who did what: list it, and check that nobody bent it.", no_args_is_help=True
)

Directory = Annotated[
    Path | None, typer.Argument(help="A copy of the audit. [STATE/audit]", readable=False)
]
Head = Annotated[
    str | None, typer.Option("--head", help="A head that was kept elsewhere: NUMBER:HASH.")
]


@app.command("list")
def list_(directory: Directory = None, state: State = STATE, json: Json = False) -> None:
    """Print every record, the oldest first; `--json` gives one document a line."""
    import msgspec

    from contract.audit import check
    from host import show

    for number, entry in check.entries(directory or state / "audit"):
        if json:
            document = {"seq": number, **msgspec.to_builtins(entry)}
            typer.echo(msgspec.json.encode(document))
        else:
            typer.echo(show.entry(number, entry))


@app.command()
def verify(
    directory: Directory = None, head: Head = None, state: State = STATE, json: Json = False
) -> None:
    """Check the whole chain, offline. Exit status 1 and every fault where it is broken.

    What was cut off the end is seen with `--head`: `hostd status --json` tells it, at any earlier
    time, on another machine.
    """
    import msgspec

    from contract import chain
    from contract.audit import check

    where = directory or state / "audit"
    witness = chain.Head.parse(head) if head is not None else None
    report = check.check(where, witness)
    if json:
        typer.echo(msgspec.json.encode(report))
    else:
        for fault in report.faults:
            sys.stderr.write(f"{fault}\n")
        typer.echo(
            f"records {report.first} to {report.head.seq} in {report.segments} segments,"
            f" head {report.head}"
        )
    if report.faults:
        raise FailedError(f"the audit in {where} is not whole", code="AUDIT_BROKEN")
