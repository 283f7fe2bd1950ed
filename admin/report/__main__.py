"""The reports' entry point, which `sheltie REPORT` executes: ask a helper, show what it says."""

import socket
import subprocess
import sys

import msgspec

from admin.report import arguments, show, wire
from contract.errors import SheltieError

__all__ = ["ask", "main"]


def main() -> int:
    """Show the report that the command line asks for; return the exit status."""
    try:
        asked = arguments.parse(sys.argv[1:])
        told = ask(asked.request)
        show.show(told, json=asked.json)
        sys.stdout.flush()
    except SheltieError as error:
        sys.stderr.write(f"sheltie: {error.line()}\n")
        return error.exit_status
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def ask(request: wire.Request) -> wire.Table | wire.Text:
    """Return a fresh helper's answer. Raises SheltieError."""
    wire.decode_request(msgspec.msgpack.encode(request))  # before a process is started for it
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            argv = [sys.executable, "-I", "-m", "admin.report.helper", str(theirs.fileno())]
            helper = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        with helper:
            wire.send(ours, request)
            told = wire.receive_answer(ours)
    if isinstance(told, wire.Fault):
        raise wire.raised(told)
    return told


if __name__ == "__main__":
    sys.exit(main())
