"""What control's commands share: two options, and printing one JSON object."""

import sys
from typing import Annotated, Any

import typer

__all__ = ["Json", "Socket", "print_json"]

Socket = Annotated[
    str,
    typer.Option(
        "--socket-path", "-s", metavar="PATH", help="The host API's socket.", show_default=True
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def print_json(document: dict[str, Any]) -> None:
    """Print an object as one line."""
    import msgspec

    sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
