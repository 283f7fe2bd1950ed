"""Moves bytes between descriptors with one buffer each: read, write, drain; nothing is lost."""

import os
import select
from collections.abc import Callable

__all__ = ["Flow", "Pump"]

PIECE = 256 * 1024


class Flow:
    """Bytes from `source` to `sink`; reads only when everything before was written.

    `at_end` is called once, when the source ended and the last byte went out (or could not).
    """

    def __init__(self, source: int, sink: int, at_end: Callable[[], None]) -> None:
        self.source, self.sink = source, sink
        self._at_end = at_end
        self._waiting = memoryview(b"")
        self.ended = False

    def wants(self) -> tuple[int, int]:
        """Return the descriptor to wait for and the event; (-1, 0) at the end."""
        if self.ended:
            return -1, 0
        return (self.sink, select.POLLOUT) if self._waiting else (self.source, select.POLLIN)

    def move(self) -> None:
        """Do what `wants` waited for."""
        if self._waiting:
            self._write()
            return
        try:
            data = os.read(self.source, PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # EIO: nobody holds the terminal's other side
        if data:
            self._waiting = memoryview(data)
            self._write()
        else:
            self.end()

    def drain(self) -> None:
        """Move what is there now, without waiting for more."""
        poll = select.poll()
        while not self.ended:
            descriptor, event = self.wants()
            poll.register(descriptor, event)
            ready = poll.poll(0 if event == select.POLLIN else None)
            poll.unregister(descriptor)
            if not ready:
                return
            self.move()

    def end(self) -> None:
        """End the flow now."""
        if not self.ended:
            self.ended = True
            self._waiting = memoryview(b"")
            self._at_end()

    def _write(self) -> None:
        try:
            while self._waiting:
                self._waiting = self._waiting[os.write(self.sink, self._waiting) :]
        except BlockingIOError:
            return
        except OSError:
            self.end()  # the reader is gone


class Pump:
    """Flows, and callbacks for descriptors that become readable."""

    def __init__(self) -> None:
        self.flows: list[Flow] = []
        self._watched: dict[int, Callable[[], None]] = {}

    def watch(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Call `callback` whenever `descriptor` is readable."""
        self._watched[descriptor] = callback

    def forget(self, descriptor: int) -> None:
        """Watch a descriptor no more."""
        self._watched.pop(descriptor, None)

    def turn(self, seconds: float | None) -> None:
        """Wait for one round of events and handle them."""
        events = dict.fromkeys(self._watched, select.POLLIN)
        for flow in self.flows:
            descriptor, event = flow.wants()
            if descriptor >= 0:
                events[descriptor] = events.get(descriptor, 0) | event
        poll = select.poll()
        for descriptor, event in events.items():
            poll.register(descriptor, event)
        ready = dict(poll.poll(None if seconds is None else int(seconds * 1000)))
        for flow in self.flows:
            descriptor, event = flow.wants()
            if ready.get(descriptor, 0) & (event | select.POLLHUP | select.POLLERR):
                flow.move()
        for descriptor in ready:
            callback = self._watched.get(descriptor)
            if callback is not None:
                callback()
