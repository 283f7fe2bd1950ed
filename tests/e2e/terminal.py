"""A person's terminal, played: a pty with a program on it, words to type and words to wait for."""

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from typing import Self

from tests.e2e.host import PATIENCE


class Terminal:
    """`argv` on a terminal of its own, as its session's controlling terminal."""

    def __init__(self, argv: Sequence[str], rows: int = 24, cols: int = 80) -> None:
        self.master, slave = os.openpty()
        self.resize(rows, cols)
        # setsid --ctty makes the pty the controlling one, which Popen cannot.
        command = ["setsid", "--ctty", "--wait", *argv]
        environment = {**os.environ, "TERM": "xterm"}
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment
        )
        os.close(slave)
        self.seen = ""

    def resize(self, rows: int, cols: int) -> None:
        """Give the window a new size."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def keys(self, text: str) -> None:
        """Type `text`; a line ends with a carriage return."""
        os.write(self.master, text.encode())

    def expect(self, pattern: str, seconds: float = 15) -> re.Match[str]:
        """Wait for `pattern` in what was not yet read, and read up to its end."""
        deadline = time.monotonic() + seconds * PATIENCE
        while (found := re.search(pattern, self.seen)) is None:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                raise AssertionError(f"no {pattern!r} within {seconds} s in {self.seen[-2000:]!r}")
            self.seen += self._read()
        self.seen = self.seen[found.end() :]
        return found

    def wait(self, seconds: float = 15) -> int:
        """Read to the end and return the exit status."""
        deadline = time.monotonic() + seconds * PATIENCE
        while select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))[0]:
            try:
                self.seen += self._read()
            except AssertionError:
                break
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def _read(self) -> str:
        try:
            data = os.read(self.master, 65536)
        except OSError:  # EIO: nobody has the other side open any more
            data = b""
        if not data:
            raise AssertionError(f"the program ended; last words {self.seen[-2000:]!r}")
        return data.decode(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
