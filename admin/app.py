"""Command line of the admin container: adapters over plain functions. Imports come late."""

import sys
from pathlib import Path
from typing import Annotated

import typer

import contract
from contract import places
from contract.errors import MachineError, UsageError

__all__ = ["app"]

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

Accounts = Annotated[
    bool | None,
    typer.Option(
        "--accounts/--no-accounts",
        show_default=False,
        help="Make the login user and its sudo rule on this machine. [without --state]",
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
    accounts: Accounts = None,
) -> None:
    """Serve SSH as user-data says, and keep serving.

    User-data is read again whenever it changes; nobody who is logged in is thrown out. Broken or
    missing user-data shuts the door and is named in `admin status` and the log. TERM ends it.
    Without root or without accounts of its own, login is as the current user.
    """
    state = state or context.obj
    where = state or Path(places.PERSISTENT)
    from contract.address import parse_listen

    address = parse_listen(listen) if listen is not None else None
    source = (user_data or where / "user-data").absolute()
    _check(source, given=user_data is not None)
    from admin.boot import machine
    from admin.keeper import door, place
    from admin.keeper.serve import serve

    # With a --state this is somebody's own machine, and its accounts are not ours to change.
    boot = machine.boot if (state is None if accounts is None else accounts) else machine.stay
    where = where.absolute()
    wishes = door.Wishes(source, where / "etc/ssh", address)
    path = place.socket_path(state.absolute() if state else None)
    serve(wishes, boot, path, where / "sheltie/audit", ledger=state is None)


def _check(source: Path, *, given: bool) -> None:
    """Refuse a place where no user-data can ever be. Raises UsageError, MachineError."""
    try:
        directory, nowhere = source.is_dir(), not source.parent.is_dir()
    except OSError as error:
        raise MachineError(
            f"cannot look at {source}: {error.strerror}", code="USER_DATA_UNUSABLE"
        ) from error
    if directory:
        raise UsageError(
            f"{source} is a directory", hint="--user-data is a file", code="USER_DATA_UNUSABLE"
        )
    if given and nowhere:
        raise UsageError(
            f"there is no directory {source.parent}",
            hint="--user-data names a file in an existing directory",
            code="USER_DATA_UNUSABLE",
        )


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
def check(
    context: typer.Context,
    state: State = None,
    json: Annotated[bool, typer.Option("--json", help="The rpc's own form.")] = False,
) -> None:
    """Knock at the door with another SSH implementation, through the real port.

    Version, key exchange, the stored host key, no way in by `none` or by a strange key. Exit status
    1 if anything is otherwise; `admin status` shows the last result.
    """
    from admin.keeper import client, place

    found = client.ask_check(place.socket_path(state or context.obj))
    if json:
        from msgspec import json as encoder

        sys.stdout.write(encoder.encode(found).decode() + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in found.seen))
    raise typer.Exit(int(not found.ok))


@app.command()
def rpc(context: typer.Context, state: State = None) -> None:
    """Ask the keeper: JSON lines in, JSON lines out.

    For programs. The methods are `status`, `host-keys` and `check`, as in
    `{"id": 1, "method": "status"}`; each line gets one reply with its id.
    """
    from admin.keeper import client, place

    path = place.socket_path(state or context.obj)
    raise typer.Exit(client.relay(path, sys.stdin.buffer, sys.stdout.buffer))
