"""Options that the commands of `hostd` share."""

from pathlib import Path
from typing import Annotated

import typer

from contract import places

__all__ = ["RUN", "STATE", "Json", "Run", "Socket", "State"]

# readable=False: the daemon says itself what is wrong with a place, in one line with its code.
State = Annotated[
    Path, typer.Option("--state", help="Directory of all that must last.", readable=False)
]
Run = Annotated[
    Path,
    typer.Option(
        "--run",
        help="Directory of sockets; its path must be short. Without root: STATE/run.",
        readable=False,
    ),
]
Socket = Annotated[
    Path | None,
    typer.Option(
        "--socket", help="The host's own API socket. [RUN/api/host/api.sock]", readable=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]
STATE = Path(places.STATE)
RUN = Path(places.RUN)
