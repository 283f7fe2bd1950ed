"""A session process alone: the test plays the listener, with three descriptors, and the monitor."""

import os
import pwd
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from admin.session.process import Task
from admin.ssh.frame import Channel
from admin.ssh.protocol import Began, Exited, ToSession

__all__ = ["SECONDS", "Seam", "pieces", "session"]

SECONDS = 30
WORK = "from admin.session.work import work; work({task!r}, {descriptors!r})"


@dataclass
class Seam:
    """Our ends, and the process that has the others."""

    stream: socket.socket
    errors: socket.socket
    control: Channel[ToSession, Exited]
    report: Channel[Began, Began]
    process: subprocess.Popen[bytes]

    def ask(self, *messages: ToSession) -> None:
        """Send requests."""
        for message in messages:
            self.control.send(message)

    def line(self) -> bytes:
        """Return the next line of the output, byte by byte, so that nothing behind it is taken."""
        text = b""
        while not text.endswith(b"\n"):
            piece = self.stream.recv(1)
            assert piece, text
            text += piece
        return text.replace(b"\r", b"")

    def rest(self, end: socket.socket | None = None) -> bytes:
        """Return all that comes until the end."""
        return b"".join(pieces(end or self.stream))

    def exited(self) -> Exited:
        """Return how the program ended."""
        received = self.control.receive()
        assert received is not None
        return received[0]

    def began(self) -> Began:
        """Return what the session told the monitor."""
        received = self.report.receive()
        assert received is not None
        return received[0]

    def hang_up(self) -> None:
        """Leave, as a client that is lost."""
        self.stream.close()
        self.errors.close()
        self.control.close()
        self.report.close()

    def stalled(self) -> None:
        """Wait until the session can hand out no more, because nobody reads."""
        deadline, seen = time.monotonic() + SECONDS, -1
        while (now := _written(self.process.pid)) != seen:
            assert time.monotonic() < deadline
            seen = now
            select.select([], [], [], 0.3)

    def memory(self) -> int:
        """Return the most memory that the session ever had, in bytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        (size,) = (line.split()[1] for line in text.splitlines() if line.startswith("VmHWM"))
        return int(size) * 1024


def pieces(end: socket.socket, size: int = 1 << 16) -> Iterator[bytes]:
    """Yield what comes, in pieces of at most `size`."""
    while piece := end.recv(size):
        yield piece


def _written(pid: int) -> int:
    text = Path(f"/proc/{pid}/io").read_text()
    return int(text.split("wchar: ")[1].split()[0])


@contextmanager
def session(*, last: str = "", before: Sequence[str] = ()) -> Iterator[Seam]:
    """Start a session for the current user, by the program `before`, and end it."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    task = msgspec.msgpack.encode(Task(user, "192.0.2.1 1111 192.0.2.2 22", last=last))
    stream, errors = socket.socketpair(), socket.socketpair()
    control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    report = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs = [pair[1].fileno() for pair in (stream, errors, control, report)]
    code = WORK.format(task=task, descriptors=theirs)
    process = subprocess.Popen([*before, sys.executable, "-I", "-c", code], pass_fds=theirs)
    for pair in (stream, errors, control, report):
        pair[1].close()
        pair[0].settimeout(SECONDS)
    seam = Seam(
        stream[0], errors[0], Channel(control[0], Exited), Channel(report[0], Began), process
    )
    try:
        yield seam
    finally:
        seam.hang_up()
        try:
            process.wait(SECONDS)
        finally:
            process.kill()
            process.wait()
