"""Command line of the admin container: `admin`. Heavy imports come inside the commands."""

import sys
from pathlib import Path
from typing import Annotated

import typer

import contract
from contract import places
from contract.errors import SheltieError, UsageError

__all__ = ["app", "main"]

app = typer.Typer(
    name="admin",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
)

State = Annotated[
    Path | None,
    typer.Option(
        "--state",
        readable=False,  # the keeper says itself what is wrong with it, with a code
        help=f"Directory that lasts: host keys, and with --state the keeper's socket too."
        f" [{places.PERSISTENT}, with the socket {places.KEEPER_SOCKET}]",
    ),
]
UserData = Annotated[
    Path | None,
    typer.Option("--user-data", help="The user-data file. [STATE/user-data]", readable=False),
]
Listen = Annotated[
    str | None,
    typer.Option(
        "--listen",
        metavar="HOST:PORT",
        help="Where SSH listens; port 0 is any free one. [user-data's sheltie.listen, else every"
        " address, port 22]",
    ),
]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(contract.__version__)
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    state: State = None,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """The admin container: SSH ends here, and `sheltie` opens the host.

    In the container `admin serve` runs already. `admin status` says whether somebody may log in,
    where, with which keys, and what is wrong if nobody may. A root shell on the host: `sheltie`.
    """
    context.obj = state


@app.command()
def serve(
    context: typer.Context,
    user_data: UserData = None,
    state: State = None,
    listen: Listen = None,
) -> None:
    """Serve SSH as user-data says, and keep serving.

    User-data is read again whenever it changes; nobody who is logged in is thrown out. Broken or
    missing user-data shuts the door and is named in `admin status` and the log. TERM ends it.
    Without root, login is as the current user.
    """
    state = state or context.obj
    where = state or Path(places.PERSISTENT)
    from contract.address import parse_listen

    address = parse_listen(listen) if listen is not None else None
    source = (user_data or where / "user-data").absolute()
    if user_data is not None and not source.parent.is_dir():
        raise UsageError(
            f"there is no directory {source.parent}",
            hint="--user-data names a file in an existing directory",
            code="USER_DATA_UNUSABLE",
        )
    if source.is_dir():
        raise UsageError(
            f"{source} is a directory", hint="--user-data is a file", code="USER_DATA_UNUSABLE"
        )
    from admin.keeper import door, place
    from admin.keeper.serve import serve

    wishes = door.Wishes(source, where.absolute() / "etc/ssh", address)
    serve(wishes, place.socket_path(state.absolute() if state else None))


@app.command()
def status(
    context: typer.Context,
    state: State = None,
    json: Annotated[bool, typer.Option("--json", help="The rpc's own form.")] = False,
) -> None:
    """Say whether somebody may log in, and what is wrong if nobody may.

    Exit status 7 where no `admin serve` answers.
    """
    from admin.keeper import client, place

    found = client.ask_status(place.socket_path(state or context.obj))
    if json:
        from msgspec import json as encoder

        sys.stdout.write(encoder.encode(found).decode() + "\n")
    else:
        from admin.keeper import show

        show.show(found)


@app.command()
def rpc(context: typer.Context, state: State = None) -> None:
    """Ask the keeper: JSON lines in, JSON lines out.

    For programs. `{"id": 1, "method": "status"}` and `{"id": 2, "method": "host-keys"}` are known;
    each line gets one reply with its id.
    """
    raise typer.Exit(_relay(state or context.obj))


def main() -> int:
    """Run the command; an error for people is one line on stderr. Return the exit status."""
    words = sys.argv[1:] or ["--help"]
    told: SheltieError
    try:
        if words == ["rpc"]:
            return _relay(None)  # control waits for it: without the parser's 30 ms
        return app(words, prog_name="admin", standalone_mode=False) or 0
    except typer.exceptions.TyperException as error:
        told = UsageError(_sentence(error), hint="see admin --help", code="ADMIN_USAGE")
    except SheltieError as error:
        told = error
    except (BrokenPipeError, KeyboardInterrupt):
        return 1
    sys.stderr.write(f"admin: {told.line()}\n")
    return told.exit_status


def _relay(state: Path | None) -> int:
    from admin.keeper import client, place

    return client.relay(place.socket_path(state), sys.stdin.buffer, sys.stdout.buffer)


def _sentence(error: Exception) -> str:
    """Return what a parser's error says, in one line."""
    tell = getattr(error, "format_message", None)
    return str(tell() if tell else error).rstrip(".")


if __name__ == "__main__":
    sys.exit(main())
