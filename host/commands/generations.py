"""`hostd generations`: looking back at the settings, and going back."""

from typing import Annotated

import typer

from host.commands.options import RUN, STATE, Json, Run, Socket, State

__all__ = ["app"]

app = typer.Typer(
    help="Every commit of the settings: list, show, compare, restore.", no_args_is_help=True
)

PATH = "/sheltie/v1/generations"

Number = Annotated[int, typer.Argument(min=0, help="The generation's number.")]
Wait = Annotated[float, typer.Option("--wait", min=0, max=600, help="Seconds to wait for it.")]


@app.command("list")
def list_(state: State = STATE, run: Run = RUN, socket: Socket = None, json: Json = False) -> None:
    """List the generations that are kept, the oldest first; the last one is live."""
    from host import ask, daemon, show

    body = ask.get(daemon.Places.of(state, run, socket).socket, PATH)
    if json:
        typer.echo(body)
    else:
        show.generations(body)


@app.command("show")
def show_(number: Number, state: State = STATE, run: Run = RUN, socket: Socket = None) -> None:
    """Print a generation with its settings, secrets too, as JSON."""
    import msgspec

    from host import ask, daemon

    body = ask.get(daemon.Places.of(state, run, socket).socket, f"{PATH}/{number}")
    typer.echo(msgspec.json.format(body))


@app.command()
def diff(
    before: Number,
    after: Annotated[int | None, typer.Argument(min=0, help="[the live one]")] = None,
    state: State = STATE,
    run: Run = RUN,
    socket: Socket = None,
    json: Json = False,
) -> None:
    """Print what changed from one generation to another, secrets too."""
    from host import ask, daemon, show

    to = "" if after is None else f"&to={after}"
    where = daemon.Places.of(state, run, socket).socket
    body = ask.get(where, f"{PATH}/diff?from={before}{to}")
    if json:
        typer.echo(body)
    else:
        show.differences(body)


@app.command()
def restore(
    number: Number,
    state: State = STATE,
    run: Run = RUN,
    socket: Socket = None,
    wait: Wait = 60.0,
    json: Json = False,
) -> None:
    """Commit a generation's settings again, as a new generation, and wait for the containers."""
    from host import ask, daemon, show

    where = daemon.Places.of(state, run, socket).socket
    body = ask.post(where, f"{PATH}/{number}/restore?wait={wait}", wait)
    if json:
        typer.echo(body)
    else:
        show.committed(body)
