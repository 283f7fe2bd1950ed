"""Run a command in a virtual machine, through its harness port (`dev.vm_agent`).

`python -I -m dev.vm_exec --port SOCKET [--in CONTAINER] -- COMMAND…`: standard input, output, error
and the exit status are the command's. One at a time: others wait.
"""

import argparse
import base64
import fcntl
import json
import os
import secrets
import select
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.errors import FailedError, SheltieError, TimedOutError, UnavailableError

__all__ = ["Answer", "Port"]

ANSWER_MAX = 256 << 20
SECONDS = 600.0
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command did: its exit status, 128+n for signal n, and what it wrote."""

    status: int
    out: bytes
    err: bytes


class Port:
    """The machine's side of the port: a Unix socket of QEMU's, which serves one peer at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def run(
        self, *argv: str, container: str = "", stdin: bytes = b"", seconds: float = SECONDS
    ) -> Answer:
        """Run `argv` on the host, or in a container of it.

        Raises UnavailableError, TimedOutError, FailedError.
        """
        number = secrets.randbits(48)
        with self._open(seconds) as port:
            port.sendall(_request(number, argv, stdin, seconds, container))
            for document in _documents(port, time.monotonic() + seconds):
                if document.get("id") == number:
                    out, err = (base64.b64decode(document[key]) for key in ("out", "err"))
                    return Answer(document["status"], out, err)
        raise UnavailableError("the virtual machine went away", code="VM_GONE")

    def run_into(self, *argv: str, seconds: float) -> dict[str, Any]:
        """Run what ends this boot, and wait for the next one's greeting; its answer is nobody's.

        Raises TimedOutError, UnavailableError.
        """
        with self._open(seconds) as port:
            port.sendall(_request(0, argv, b"", seconds))
            return _greeting(port, seconds)

    def hello(self, seconds: float) -> dict[str, Any]:
        """Wait for the next boot's greeting. Raises TimedOutError, UnavailableError."""
        with self._open(seconds) as port:
            return _greeting(port, seconds)

    @contextmanager
    def _open(self, seconds: float) -> Iterator[socket.socket]:
        """Be the one peer. The directory is reached by descriptor: a socket's path is short."""
        with ExitStack() as opened:
            try:
                directory = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                opened.callback(os.close, directory)
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                lock = os.open(self._path.with_suffix(".lock"), flags, 0o600)
                opened.callback(os.close, lock)
                fcntl.flock(lock, fcntl.LOCK_EX)
                port = opened.enter_context(socket.socket(socket.AF_UNIX))
                port.settimeout(seconds)
                port.connect(f"/proc/self/fd/{directory}/{self._path.name}")
                yield port
            except OSError as error:
                raise UnavailableError(
                    f"no virtual machine answers at {self._path}: {error.strerror or error}",
                    hint="start one with: make vm-up",
                    code="VM_GONE",
                ) from error


def _request(
    number: int, argv: Sequence[str], stdin: bytes, seconds: float, container: str = ""
) -> bytes:
    told = {"stdin": base64.b64encode(stdin).decode(), "seconds": seconds, "in": container}
    return json.dumps({"id": number, "argv": argv, **told}).encode() + b"\n"


def _greeting(port: socket.socket, seconds: float) -> dict[str, Any]:
    for document in _documents(port, time.monotonic() + seconds):
        if "hello" in document:
            hello: dict[str, Any] = document["hello"]
            return hello
    raise UnavailableError("the virtual machine went away", code="VM_GONE")


def _documents(port: socket.socket, deadline: float) -> Iterator[dict[str, Any]]:
    """Yield what the machine says until it goes away. Raises TimedOutError, FailedError."""
    pieces: list[bytes] = []
    size = 0
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([port], [], [], left)[0]:
            raise TimedOutError("the virtual machine does not answer", code="VM_SILENT")
        data = port.recv(_CHUNK)
        if not data:
            return
        size += len(data)
        if size > ANSWER_MAX:
            raise FailedError("the virtual machine says too much", code="VM_SILENT")
        *ends, rest = data.split(b"\n")
        for end in ends:
            whole = b"".join([*pieces, end])
            pieces, size = [], 0
            if whole.strip():
                yield _decoded(whole)
        pieces.append(rest)


def _decoded(whole: bytes) -> dict[str, Any]:
    try:
        document = json.loads(whole)
    except ValueError:
        return {}  # the end of an answer that nobody waited for
    return document if isinstance(document, dict) else {}


def main() -> int:
    """Parse the command line and run; return the exit status."""
    parser = argparse.ArgumentParser(prog="vm-exec", description=__doc__)
    parser.add_argument("--port", type=Path, required=True, help="the machine's harness port")
    parser.add_argument(
        "--in", dest="container", default="", help="a container instead of the host"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help="COMMAND and its arguments")
    options = parser.parse_args()
    argv = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not argv:
        parser.error("no command")
    try:
        stdin = b"" if sys.stdin.isatty() else sys.stdin.buffer.read()
        answer = Port(options.port).run(*argv, container=options.container, stdin=stdin)
    except SheltieError as error:
        print(f"vm-exec: {error.line()}", file=sys.stderr)
        return error.exit_status
    sys.stdout.buffer.write(answer.out)
    sys.stdout.flush()
    sys.stderr.buffer.write(answer.err)
    sys.stderr.flush()
    return answer.status


if __name__ == "__main__":
    sys.exit(main())
