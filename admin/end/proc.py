"""Small files of the kernel's, by bare system calls.

A session's process reads some hundred of them, most at its end, and a file object costs ten calls.
"""

import os

__all__ = ["read", "write"]

PIECE = 4096
"""The kernel gives out no more than a page at once of a file with many lines."""


def read(path: str) -> bytes:
    """Return what is in a file. Raises OSError, also when its process ended."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        pieces = []
        while piece := os.read(descriptor, PIECE):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(descriptor)


def write(path: str, data: bytes) -> None:
    """Write to a file that is there, in one call. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)
