"""A machine's serial console: words to type, and words to wait for."""

import os
import re
import socket
import time
from pathlib import Path

__all__ = ["SECONDS", "Console"]

SECONDS = 300.0


class Console:
    """The serial console: words to type, and words to wait for."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        try:  # a socket's path is short
            self._socket.connect(f"/proc/self/fd/{directory}/{path.name}")
        finally:
            os.close(directory)
        self._seen = ""

    def keys(self, text: str) -> None:
        """Type."""
        self._socket.sendall(text.encode())

    def expect(self, pattern: str) -> str:
        """Return the first group, once the pattern is on the screen."""
        deadline = time.monotonic() + SECONDS
        while (found := re.search(pattern, self._seen)) is None:
            self._socket.settimeout(max(0.1, deadline - time.monotonic()))
            try:
                self._seen += self._socket.recv(4096).decode(errors="replace")
            except TimeoutError:
                raise AssertionError(f"no {pattern!r} in {self._seen!r}") from None
        self._seen = self._seen[found.end() :]
        return found[1]

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
