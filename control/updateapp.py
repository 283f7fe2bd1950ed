"""`control update`: adapters over plain functions, as in `control.app`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from contract import places
from control.options import Json, Socket, print_json

if TYPE_CHECKING:
    from contract.apiclient.client import HostApi
    from control.updating import Applied

__all__ = ["build"]

Reboot = Annotated[bool, typer.Option("--reboot", help="Reboot into it, too.")]


def status(json: Json = False, socket_path: Socket = places.API_SOCKET) -> None:
    """Show what runs, what boots next, and what was set aside."""
    from control import updating

    found = updating.standing(_api(socket_path))
    if json:
        print_json(updating.document(found))
    else:
        from control import text

        text.show(updating.rows(found))


def apply(
    reboot: Reboot = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also a version that failed, or was rolled back.")
    ] = False,
    json: Json = False,
    socket_path: Socket = places.API_SOCKET,
) -> None:
    """Bring the update that is on offer, and let the next boot be into it.

    It takes effect with a reboot. A version that does not come up well gives way to this one by
    itself; `control update status` names it then.
    """
    from control import updating

    _show_applied(updating.apply(_api(socket_path), reboot=reboot, again=again), json=json)


def rollback(
    reboot: Reboot = False,
    json: Json = False,
    socket_path: Socket = places.API_SOCKET,
) -> None:
    """Let the next boot be into the version that ran before.

    It lasts: what runs now is set aside until it is applied again. Before the reboot `apiclient
    update cancel` takes it back.
    """
    from control import updating

    _show_applied(updating.rollback(_api(socket_path), reboot=reboot), json=json)


def build(settings: dict[str, Any]) -> typer.Typer:
    """Return the commands below `update`."""
    app = typer.Typer(name="update", help="The host's own image.", no_args_is_help=True, **settings)
    for function in (status, apply, rollback):
        app.command()(function)
    return app


def _api(socket_path: str) -> "HostApi":
    from contract.apiclient.client import HostApi

    return HostApi(socket_path)


def _show_applied(found: "Applied", *, json: bool) -> None:
    from control import text, updating

    if json:
        print_json(updating.applied_document(found))
    else:
        text.show(updating.applied(found))
