"""The reports' entry point, which `sheltie REPORT` executes: ask a helper, show what it says."""

import socket
import subprocess
import sys

import msgspec

from admin.outcome import outcome
from admin.report import arguments, show, wire

__all__ = ["ask", "main"]


def main() -> int:
    """Show the report that the command line asks for; return the exit status."""
    return outcome(_run)


def _run() -> int:
    asked = arguments.parse(sys.argv[1:])
    show.show(ask(asked.request), json=asked.json)
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
