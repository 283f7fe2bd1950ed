"""Input on its way to a process: bounded, because a client may ignore its capacity."""

import asyncio
from collections import deque

from contract.execwire import MESSAGES_OUTSTANDING_MAX

__all__ = ["Inbox"]

BYTES_MAX = 16 << 20
"""Bytes that may wait: stock clients send at most 4096 in each of 1024 messages."""


class Inbox:
    """A queue of messages with an end."""

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._bytes = 0
        self._ended = False
        self._changed = asyncio.Event()

    def put(self, data: bytes) -> bool:
        """Add a message; False when there is no room. After the end messages are ignored."""
        if self._ended:
            return True
        if len(self._messages) >= MESSAGES_OUTSTANDING_MAX or self._bytes + len(data) > BYTES_MAX:
            return False
        self._messages.append(data)
        self._bytes += len(data)
        self._changed.set()
        return True

    def end(self) -> None:
        """Say that nothing follows."""
        self._ended = True
        self._changed.set()

    async def get(self) -> bytes | None:
        """Return the next message, None at the end."""
        while not self._messages:
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        data = self._messages.popleft()
        self._bytes -= len(data)
        return data
