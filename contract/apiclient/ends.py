"""Where the bytes of an exec come from and where they go: descriptors, or memory."""

import os
from typing import Final, Protocol

from contract.errors import FailedError

__all__ = ["WRITE_MAX", "BytesSink", "BytesSource", "FileSink", "FileSource", "Sink", "Source"]

WRITE_MAX: Final = 4096
"""PIPE_BUF: what a pipe that poll calls writable takes without blocking (pipe(7))."""


class Source(Protocol):
    """Input. `fd` is what poll waits for, None when it is always ready."""

    fd: int | None

    def read(self, size: int) -> bytes | None:
        """Return at most `size` bytes, b"" at the end, None when there is nothing yet."""


class Sink(Protocol):
    """Output. `fd` is what poll waits for, None when it is always ready."""

    fd: int | None

    def write(self, data: bytes) -> int:
        """Take some of `data` and return how much. Raises BrokenPipeError when nobody reads."""


class BytesSource:
    """Input from memory."""

    fd: int | None = None

    def __init__(self, data: bytes) -> None:
        self._left = memoryview(data)

    def read(self, size: int) -> bytes | None:
        """Return the next piece."""
        piece, self._left = bytes(self._left[:size]), self._left[size:]
        return piece


class BytesSink:
    """Output into memory, of at most `limit` bytes."""

    fd: int | None = None

    def __init__(self, limit: int) -> None:
        self.data = bytearray()
        self._limit = limit

    def write(self, data: bytes) -> int:
        """Take all. Raises FailedError (EXEC_OUTPUT_TOO_LARGE)."""
        if len(self.data) + len(data) > self._limit:
            why = f"the command's output is larger than {self._limit} bytes"
            raise FailedError(why, code="EXEC_OUTPUT_TOO_LARGE")
        self.data += data
        return len(data)


class FileSource:
    """Input from a descriptor, which stays as blocking as its owner wants it."""

    def __init__(self, fd: int) -> None:
        self.fd: int | None = fd
        self._fd = fd

    def read(self, size: int) -> bytes | None:
        """Read after poll said so; a descriptor that cannot be read is at its end."""
        try:
            return os.read(self._fd, size)
        except BlockingIOError:
            return None
        except OSError:
            return b""


class FileSink:
    """Output to a descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd: int | None = fd
        self._fd = fd

    def write(self, data: bytes) -> int:
        """Write after poll said so."""
        try:
            return os.write(self._fd, data[:WRITE_MAX])
        except BlockingIOError:
            return 0
