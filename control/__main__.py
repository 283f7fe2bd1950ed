"""Entry point of `control` and of the scripts under upstream's names, which are links to it.

The one place where an error becomes a line and an exit status.
"""

import os
import sys
from pathlib import Path

from contract.errors import SheltieError, UsageError

__all__ = ["main"]


def main() -> int:
    """Run the command that this process was called by; return the exit status."""
    import typer

    from control import app

    name = Path(sys.argv[0]).name
    name = name if name in app.SCRIPTS else "control"
    words = sys.argv[1:] or ([] if name in app.SCRIPTS else ["--help"])
    told: SheltieError
    try:
        status = app.build(name)(words, prog_name=name, standalone_mode=False) or 0
        sys.stdout.flush()
    except typer.exceptions.TyperException as error:
        told = UsageError(_sentence(error), hint=f"see {name} --help", code="CONTROL_USAGE")
    except SheltieError as error:
        told = error
    except KeyboardInterrupt:
        sys.stderr.write(f"{name}: interrupted [INTERRUPTED]\n")
        return 130
    except BrokenPipeError:
        # Nobody reads our output (`| head`); the interpreter must not try again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    else:
        return int(status)
    sys.stderr.write(f"{name}: {told.line()}\n")
    return told.exit_status


def _sentence(error: Exception) -> str:
    """Return what a parser's error says, in one line."""
    tell = getattr(error, "format_message", None)
    return str(tell() if tell else error).rstrip(".")


if __name__ == "__main__":
    sys.exit(main())
