"""Landlock's rights by the version of its ABI (linux/landlock.h): what a look gives up."""

from __future__ import annotations

__all__ = [
    "DEVICE",
    "FIRST_ABI",
    "READ_FILE",
    "SCRATCH",
    "TERMINAL",
    "files",
    "network",
    "scopes",
]

FIRST_ABI = 1

EXECUTE = 1 << 0
WRITE_FILE = 1 << 1
READ_FILE = 1 << 2
READ_DIR = 1 << 3
REMOVE_DIR = 1 << 4
REMOVE_FILE = 1 << 5
MAKE_CHAR = 1 << 6
MAKE_DIR = 1 << 7
MAKE_REG = 1 << 8
MAKE_SOCK = 1 << 9
MAKE_FIFO = 1 << 10
MAKE_BLOCK = 1 << 11
MAKE_SYM = 1 << 12
REFER = 1 << 13
TRUNCATE = 1 << 14
IOCTL_DEV = 1 << 15

_SINCE = {REFER: 2, TRUNCATE: 3, IOCTL_DEV: 5}
_NEWEST = IOCTL_DEV
_NETWORK_SINCE = 4
_SCOPES_SINCE = 6

DEVICE = READ_FILE | WRITE_FILE
TERMINAL = DEVICE | IOCTL_DEV
SCRATCH = DEVICE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | REFER | TRUNCATE
"""What the session may do in its own temporary directory."""


def files(abi: int) -> int:
    """Return every right that a look has to be granted: all but listing and executing.

    READ_FILE is among them because reading a FIFO takes from its reader.
    """
    every = (_NEWEST << 1) - 1 & ~(EXECUTE | READ_DIR)
    for right, since in _SINCE.items():
        if abi < since:
            every &= ~right
    return every


def network(abi: int) -> int:
    """Return BIND_TCP and CONNECT_TCP, where the kernel knows them."""
    return 0b11 if abi >= _NETWORK_SINCE else 0


def scopes(abi: int) -> int:
    """Return the scopes of abstract sockets and of signals, where the kernel knows them."""
    return 0b11 if abi >= _SCOPES_SINCE else 0
