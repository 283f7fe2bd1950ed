"""One flow, and what comes between its two ends."""

import fcntl
import os
import select
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import given
from hypothesis import strategies as st

from admin.session.pump import Flow, Pump

ROOM = 4096


class Pipes:
    """A flow between two pipes of one page each, so that every write may be a short one."""

    def __init__(self) -> None:
        (self.source, self.into), (self.out, self.sink) = os.pipe(), os.pipe()
        self.open = {self.source, self.into, self.out, self.sink}
        for descriptor in self.open:
            os.set_blocking(descriptor, False)
        for descriptor in (self.into, self.sink):
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, ROOM)
        self.ends = 0
        self.flow = Flow(self.source, self.sink, self._ended)

    def _ended(self) -> None:
        self.ends += 1

    def write(self, data: bytes) -> int:
        """Write what there is room for."""
        try:
            return os.write(self.into, data)
        except BlockingIOError:
            return 0

    def read(self, size: int) -> bytes:
        """Read what is there."""
        try:
            return os.read(self.out, size)
        except BlockingIOError:
            return b""

    def turn(self) -> None:
        """Let the flow do what it can do now."""
        descriptor, event = self.flow.wants()
        if descriptor < 0:
            return
        poll = select.poll()
        poll.register(descriptor, event)
        if poll.poll(0):
            self.flow.move()

    def close(self, descriptor: int) -> None:
        """Close an end."""
        os.close(descriptor)
        self.open.remove(descriptor)


@contextmanager
def pipes() -> Iterator[Pipes]:
    """Give two pipes, and close them."""
    made = Pipes()
    try:
        yield made
    finally:
        for descriptor in tuple(made.open):
            made.close(descriptor)


steps = st.lists(
    st.tuples(st.sampled_from(["write", "read", "turn"]), st.integers(1, 3 * ROOM)), max_size=60
)


@given(steps, st.binary(min_size=1, max_size=64))
def test_every_byte_in_its_order(acts: list[tuple[str, int]], word: bytes) -> None:
    """However writer, flow and reader take turns, what went in comes out, and the end once."""
    with pipes() as made:
        sent, got = b"", b""
        for act, size in acts:
            if act == "write":
                data = (word * (size // len(word) + 1))[:size]
                sent += data[: made.write(data)]
            elif act == "read":
                got += made.read(size)
            else:
                made.turn()
        assert made.ends == 0
        made.close(made.into)
        for _ in range(20):
            made.turn()
            got += made.read(ROOM)

        assert (got, made.ends, made.flow.wants()) == (sent, 1, (-1, 0))


def test_nothing_is_read_before_the_last_is_written() -> None:
    """A reader who stops stops the writer: a flow holds one piece."""
    with pipes() as made:
        sent = 0
        for _ in range(100):
            sent += made.write(b"x" * ROOM)
            made.turn()

        # One page in the sink, one with the flow, one in the source.
        assert sent == 3 * ROOM
        assert made.flow.wants() == (made.sink, select.POLLOUT)


def test_a_reader_who_is_gone_ends_the_flow_once() -> None:
    """A broken sink is an end and no error."""
    with pipes() as made:
        made.write(b"x")
        made.close(made.out)
        made.turn()
        made.flow.end()

        assert made.ends == 1


def test_drain_takes_what_is_there() -> None:
    """Draining moves all that waits, and does not wait for more."""
    with pipes() as made:
        made.write(b"last words")
        made.flow.drain()

        assert (made.read(ROOM), made.ends) == (b"last words", 0)


def test_a_pump_turns_flows_and_tells_of_others() -> None:
    """One round moves each flow that can and calls back for each readable descriptor."""
    told: list[str] = []
    with pipes() as one, pipes() as other:
        pump = Pump()
        pump.flows = [one.flow, other.flow]
        pump.watch(one.out, lambda: told.append("out"))
        one.write(b"a")
        other.write(b"b")
        pump.turn(5)
        pump.turn(5)
        pump.forget(one.out)
        pump.turn(0)

        assert (one.read(9), other.read(9), told) == (b"a", b"b", ["out"])
