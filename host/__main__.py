"""Command line of the daemon: `hostd`. Heavy imports come inside the commands."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from contract.errors import NotFoundError, SheltieError
from host.commands import audit, generations, install, watch
from host.commands.options import RUN, STATE, Run, Socket, State
from host.reboot import COMMAND

__all__ = ["app", "main"]

app = typer.Typer(
    name="hostd",
    help="The host daemon: settings, host containers, and the API that stock clients know.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
)


class Runtime(StrEnum):
    """What runs containers."""

    AUTO = "auto"
    CRUN = "crun"
    RUNC = "runc"
    PODMAN = "podman"
    NONE = "none"


RuntimeOption = Annotated[
    Runtime, typer.Option("--runtime", help="What runs containers; `none` serves the API alone.")
]
RebootCommand = Annotated[
    str, typer.Option("--reboot-command", help="What POST /actions/reboot runs.")
]
Stock = Annotated[
    bool,
    typer.Option(
        "--stock",
        help="Behave as the original does, weaknesses included: every caller is the owner, every"
        " write restarts, nothing below /sheltie/v1/. For trying out images.",
    ),
]
app.add_typer(audit.app, name="audit")
app.add_typer(generations.app, name="generations")
app.command()(watch.events)
app.command()(watch.logs)
app.command()(install.install)
app.command()(install.uninstall)


@app.command()
def serve(
    state: State = STATE,
    run: Run = RUN,
    socket: Socket = None,
    runtime: RuntimeOption = Runtime.AUTO,
    reboot_command: RebootCommand = COMMAND,
    stock: Stock = False,
) -> None:
    """Serve the API and keep the containers as the settings want them.

    TERM ends the daemon and leaves the containers running; the next daemon takes them over.
    """
    import asyncio

    from host import daemon, logline
    from host.policy import OURS, STOCK

    logline.set_up()
    where = daemon.Places.of(state, run, socket)
    policy = STOCK if stock else OURS
    asyncio.run(daemon.serve(where, runtime.value, reboot_command=reboot_command, policy=policy))


@app.command()
def stop(
    state: State = STATE,
    run: Run = RUN,
    socket: Socket = None,
    runtime: RuntimeOption = Runtime.AUTO,
) -> None:
    """Stop every container, and the daemon where one is up. The settings stay."""
    import asyncio

    from host import ask, daemon, lock

    where = daemon.Places.of(state, run, socket)
    if lock.held(where.state):
        try:
            ask.stop(where.socket)
            stopped = True
        except NotFoundError:  # a stock daemon knows no such request
            ask.end(where.socket)
            stopped = False
        lock.wait(where.state)
        lock.wait(where.run)
        if stopped:
            return
    asyncio.run(daemon.stop_containers(where, runtime.value))


@app.command()
def status(
    state: State = STATE,
    run: Run = RUN,
    socket: Socket = None,
    json: Annotated[bool, typer.Option("--json", help="As the API gives it.")] = False,
) -> None:
    """Show the daemon, the door and the containers."""
    import msgspec

    from host import ask, daemon

    found = ask.status(daemon.Places.of(state, run, socket).socket)
    if json:
        typer.echo(msgspec.json.encode(found))
    else:
        from host import show

        show.status(found)


@app.command("exec", context_settings={"allow_interspersed_args": False})
def exec_(
    name: Annotated[str, typer.Argument(help="The container.")],
    words: Annotated[list[str], typer.Argument(metavar="[--tty] [--user USER] [--] ARGV...")],
    state: State = STATE,
    run: Run = RUN,
) -> None:
    """Run a command in a running container, straight through the runtime. Needs root.

    Standard input, output and error are the command's, and so is the exit status.
    """
    from host import execline
    from host.runtime import exec_attached

    line = execline.parse(words)
    sys.exit(exec_attached(state, run, name, line.argv, tty=line.tty, user=line.user))


def main() -> None:
    """Run the command; an error for people is one line on stderr and its exit status."""
    try:
        app(prog_name="hostd")
    except SheltieError as error:
        sys.stderr.write(f"hostd: {error.line()}\n")
        sys.exit(error.exit_status)


if __name__ == "__main__":
    main()
