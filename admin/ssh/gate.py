"""Whether a connection takes more bytes: what the library does not tell its sessions."""

from typing import Protocol

__all__ = ["Gate"]


class Waiting(Protocol):
    """Whoever stops reading while the gate is shut."""

    def gate_changed(self) -> None:
        """The gate was shut, or opened."""


class Gate:
    """Shut while the transport's buffer is full."""

    def __init__(self) -> None:
        self.shut = False
        self._waiting: set[Waiting] = set()

    def add(self, one: Waiting) -> None:
        """Tell `one` of changes."""
        self._waiting.add(one)

    def discard(self, one: Waiting) -> None:
        """Tell `one` no more."""
        self._waiting.discard(one)

    def set(self, *, shut: bool) -> None:
        """Shut or open."""
        self.shut = shut
        for one in tuple(self._waiting):
            one.gate_changed()
