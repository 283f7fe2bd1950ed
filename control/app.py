"""Command line of the control container: adapters over plain functions. Imports come late."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import contract
from contract import places
from control import updateapp
from control.options import Json, Socket, print_json

if TYPE_CHECKING:
    from control.host import Host

__all__ = ["SCRIPTS", "build"]

_APP = {
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "add_completion": False,
}

State = Annotated[
    Path,
    typer.Option(
        "--state",
        help="Directory that lasts: which keys were handed over.",
        hidden=True,
        readable=False,  # a host of ours keeps it to root, and needs nothing of it
    ),
]
Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        metavar="KEY",
        help="A public key to let in: the line itself, a file in this container, or - for standard"
        " input. May be given several times.",
    ),
]
Waiting = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is so.")]
Seconds = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", min=0.1, help="Longest wait.")
]
PERSISTENT = Path(places.PERSISTENT)


def enable(
    key: Keys = None,
    wait: Waiting = True,
    timeout: Seconds = 120.0,
    json: Json = False,
    socket_path: Socket = places.API_SOCKET,
    state: State = PERSISTENT,
) -> None:
    """Open the door to admin for an SSH key.

    Enables the admin container, hands it the keys, waits for its SSH server.

    Your own files are not in this container, so paste the key line, or pipe it in:

        ssh-add -L | ... enable-admin-container --key -

    Prints the exact ssh command and the line for known_hosts: the real host key, asked of the
    container itself, so that nobody has to trust on first use. A key is good for this enabling
    only. There is no lease yet: admin stays enabled until disable-admin-container.

    On a stock host (Bottlerocket's own API) every write starts admin anew: a key for an admin that
    is up already throws out whoever is in, and the output says so.
    """
    from control import enabling
    from control.admin import Admin
    from control.keys import gather
    from control.progress import Progress

    lines = gather(key or (), _read_stdin)
    host = _host(socket_path, state)
    with Progress("waiting for admin") as progress:
        opened = enabling.enable(
            host,
            Admin(socket_path),
            lines,
            seconds=timeout if wait else None,
            tell=progress.tell,
        )
    if json:
        print_json(enabling.document(opened))
    else:
        from control import text

        text.show(text.opened(opened))


def disable(
    wait: Waiting = True,
    timeout: Seconds = 60.0,
    json: Json = False,
    socket_path: Socket = places.API_SOCKET,
    state: State = PERSISTENT,
) -> None:
    """Shut the door: disable the admin container.

    Everybody in it is out, and handed-over keys are gone. Waits until nothing of it runs any
    more; it has 20 seconds to end by itself.
    """
    from control import disabling
    from control.admin import Admin
    from control.progress import Progress

    host = _host(socket_path, state)
    with Progress("waiting for admin to end") as progress:
        changed = disabling.disable(
            host, Admin(socket_path), seconds=timeout if wait else None, tell=progress.tell
        )
    if json:
        print_json({"enabled": False, "changed": changed})
    else:
        from control import text

        text.show([("admin", "disabled" if changed else "disabled already"), ("door", "SHUT")])


def enter(
    key: Keys = None,
    timeout: Seconds = 120.0,
    socket_path: Socket = places.API_SOCKET,
    state: State = PERSISTENT,
) -> None:
    """Open a root shell in admin, without SSH.

    Enables the admin container if need be. In it `sheltie` opens the host. Leaving the shell does
    not disable admin: disable-admin-container does. The exit status is the shell's.
    """
    from control import enabling, entering
    from control.admin import Admin
    from control.host import Effect
    from control.keys import gather
    from control.progress import Progress

    lines = gather(key or (), _read_stdin)
    host = _host(socket_path, state)
    with Progress("waiting for admin") as progress:
        effect = entering.prepare(
            host, Admin(socket_path), lines, seconds=timeout, tell=progress.tell
        )
    if effect is Effect.RESTARTED:
        sys.stderr.write(f"note: {enabling.DROPPED}\n")
    code = entering.enter(socket_path)
    sys.stderr.write("admin stays enabled: disable-admin-container shuts the door\n")
    raise typer.Exit(code)


def status(
    json: Json = False,
    socket_path: Socket = places.API_SOCKET,
    state: State = PERSISTENT,
) -> None:
    """Show the door, both containers, and problems.

    Since when the door is open and for whom, where SSH answers, who is in.
    """
    from control import state as standing
    from control.admin import Admin

    found = standing.gather(_host(socket_path, state), Admin(socket_path))
    if json:
        print_json(standing.document(found))
    else:
        from control import text

        text.show(text.state(found))


def boot(state: State = PERSISTENT) -> None:
    """Prepare this container at its start, as root; the image's start script runs it."""
    from control import boot as start

    for sentence in start.boot(state):
        sys.stderr.write(f"control: {sentence}\n")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(contract.__version__)
        raise typer.Exit


def common(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """The control container: it has no rights over the host but to ask it.

    The way to a root shell on the host:

        enable-admin-container --key KEY     start admin, hand it your SSH key
        ssh -p PORT USER@HOST                the exact line was just printed
        sheltie                              in admin: a root shell on the host
        disable-admin-container              shut the door again

    Without SSH: enter-admin-container. How things stand: control status. The host's own image:
    control update. Settings of the host: apiclient --help.
    """


SCRIPTS: dict[str, Callable[..., None]] = {
    "enable-admin-container": enable,
    "disable-admin-container": disable,
    "enter-admin-container": enter,
}
"""Upstream's names: each is a command of `control` and a script of its own."""


def build(name: str) -> typer.Typer:
    """Return the app of script `name`, or of `control` with all commands."""
    settings: dict[str, Any] = _APP
    if name in SCRIPTS:
        app = typer.Typer(name=name, **settings)
        app.command(name=name)(SCRIPTS[name])
        return app
    app = typer.Typer(name=name, no_args_is_help=True, **settings)
    app.callback()(common)
    for script, function in SCRIPTS.items():
        app.command(name=script)(function)
    app.command()(status)
    app.command(hidden=True)(boot)
    app.add_typer(updateapp.build(settings))
    return app


def _host(socket_path: str, state: Path) -> "Host":
    from contract.apiclient.client import HostApi
    from control.kind import find

    return find(HostApi(socket_path), state)


def _read_stdin(size: int) -> bytes:
    return sys.stdin.buffer.read(size)
