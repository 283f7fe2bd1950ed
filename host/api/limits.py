"""What one client may cost: sizes in bytes, times in seconds. Silent and greedy ones are let go."""

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one listening socket.

    `body`: upstream's 2 MiB. `head`: line and headers. `idle`: between requests. `request`: to send
    a whole request, or to take a whole answer, or a piece of a stream. `connections` and `streams`:
    at a time, on this socket.
    """

    body: int = 2 << 20
    head: int = 32 << 10
    idle: float = 60.0
    request: float = 30.0
    linger: float = 2.0
    connections: int = 64
    streams: int = 8
