"""`hostd events` and `hostd logs`: what happens, and what containers write."""

import sys
from typing import Annotated

import typer

from host.commands.options import RUN, STATE, Json, Run, Socket, State

__all__ = ["events", "logs"]

_INTERRUPTED = 130

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")]
Since = Annotated[int, typer.Option("--since", min=0, help="Only records behind this number.")]
Tail = Annotated[int, typer.Option("--tail", "-n", min=0, max=1_000_000, help="How many lines.")]
Times = Annotated[bool, typer.Option("--timestamps", help="With time and stream of each line.")]


def events(
    since: Since = 0,
    follow: Follow = False,
    state: State = STATE,
    run: Run = RUN,
    socket: Socket = None,
    json: Json = False,
) -> None:
    """Print the audit's events; `--json` gives the chained lines themselves."""
    from contract import chain
    from host import ask, daemon, show

    where = daemon.Places.of(state, run, socket).socket
    target = f"/sheltie/v1/events?since={since}{_following(follow)}"
    try:
        for line in ask.stream(where, target):
            if json:
                _write(line.decode())
            else:
                _write(show.chained(chain.read(line)) + "\n")
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def logs(
    name: Annotated[str, typer.Argument(help="The container.")],
    tail: Tail = 200,
    follow: Follow = False,
    timestamps: Times = False,
    state: State = STATE,
    run: Run = RUN,
    socket: Socket = None,
) -> None:
    """Print what a container wrote to its output: the last lines, and what comes."""
    from urllib.parse import quote

    from host import ask, daemon
    from host.logs import line

    where = daemon.Places.of(state, run, socket).socket
    target = f"/sheltie/v1/containers/{quote(name, safe='')}/logs?tail={tail}{_following(follow)}"
    try:
        for raw in ask.stream(where, target):
            found = line.parse(raw.decode("utf-8", "replace").removesuffix("\n"))
            text = line.printable(found.text) if sys.stdout.isatty() else found.text
            head = f"{found.time} {found.stream} " if timestamps and found.time else ""
            _write(f"{head}{text}" + ("\n" if found.whole else ""))
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def _following(follow: bool) -> str:
    return "&follow=true" if follow else ""


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
