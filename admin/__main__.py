"""The program `admin`: one place turns an error into a line and an exit status."""

import os
import sys

from contract.errors import SheltieError

__all__ = ["main"]


def main() -> int:
    """Run the command; return the exit status."""
    words = sys.argv[1:] or ["--help"]
    try:
        # Control waits for `admin rpc`: without the parser's 30 ms.
        status = _relay() if words == ["rpc"] else _command(words)
        sys.stdout.flush()
    except SheltieError as error:
        sys.stderr.write(f"admin: {error.line()}\n")
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("admin: interrupted [INTERRUPTED]\n")
        return 130
    except BrokenPipeError:
        # Nobody reads our output (`| head`); the interpreter must not try again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


def _relay() -> int:
    from admin.keeper import client, place

    return client.relay(place.socket_path(None), sys.stdin.buffer, sys.stdout.buffer)


def _command(words: list[str]) -> int:
    """Run a command line. Raises SheltieError."""
    import typer

    from admin.app import app
    from contract.errors import UsageError

    try:
        return int(app(words, prog_name="admin", standalone_mode=False) or 0)
    except typer.exceptions.TyperException as error:
        raise UsageError(_sentence(error), hint="see admin --help", code="ADMIN_USAGE") from error


def _sentence(error: Exception) -> str:
    """Return what a parser's error says, in one line."""
    tell = getattr(error, "format_message", None)
    return str(tell() if tell else error).rstrip(".")


if __name__ == "__main__":
    sys.exit(main())
