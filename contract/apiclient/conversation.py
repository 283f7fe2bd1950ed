"""One exec from the client's side: a single loop over poll, in which nothing waits for another.

The user's output may be slow for as long as it likes: then nothing is read from the host, while
pings still go out, so that the host does not take us for dead (core-kit api-exec.md, heartbeat).
"""

import contextlib
import select
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from contract.apiclient.channel import Channel
from contract.apiclient.ends import WRITE_MAX, Sink, Source
from contract.apiclient.flow import Flow
from contract.errors import FailedError, RefusedError, SheltieError, TimedOutError, UnavailableError
from contract.execwire import (
    HEARTBEAT_SECONDS,
    HEARTBEAT_TIMEOUT_SECONDS,
    MESSAGE_MAX,
    ContentComplete,
    Initialize,
    Size,
    Winch,
    decode_server,
    encode_client,
)

__all__ = ["Alarm", "Conversation"]

BACKLOG_MAX: Final = 256 << 10
"""Bytes of output that wait for the user before the host has to."""
_STATUS_MAX: Final = 255
"""The largest exit status that a process can have (wait(2))."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """A descriptor beside the conversation, and what to do when it can be read.

    `act` returns an exit status to end the conversation with, or None to go on.
    """

    fd: int
    act: Callable[[], int | None]


@dataclass
class Conversation:
    """Runs one command; `piece` is the largest input message in bytes.

    `deadline` is in seconds of time.monotonic.
    """

    channel: Channel
    source: Source
    sink: Sink
    piece: int
    deadline: float | None = None
    alarm: Alarm | None = None
    _flow: Flow = field(default_factory=Flow)
    _backlog: bytearray = field(default_factory=bytearray)
    _text: list[str] = field(default_factory=list)
    _input_open: bool = True
    _end: CloseConnection | None = None
    _heard: float = 0.0
    _pinged: float = 0.0

    def run(self, request: Initialize) -> int:
        """Run `request` to its end and return its exit status.

        Raises RefusedError (EXEC_REFUSED), FailedError, UnavailableError (EXEC_LOST), TimedOutError
        (EXEC_TIMED_OUT); BrokenPipeError when nobody reads the output any more.
        """
        self._heard = self._pinged = time.monotonic()
        self.channel.send(TextMessage(encode_client(request)))
        while self._end is None or self._backlog:
            ready = self._wait()
            if self.alarm is not None and self.alarm.fd in ready:
                status = self.alarm.act()
                if status is not None:
                    return status
            self._step(ready)
        return _status(int(self._end.code), self._end.reason or "")

    def resize(self, size: Size) -> None:
        """Tell the host the terminal's new size."""
        if self._end is None:
            self.channel.send(TextMessage(encode_client(Winch(size))))

    def _step(self, ready: frozenset[int]) -> None:
        if self._backlog and (self.sink.fd is None or self.sink.fd in ready):
            del self._backlog[: self.sink.write(bytes(self._backlog[:WRITE_MAX]))]
        if self._end is not None:
            return
        if self.channel.fileno() in ready:
            self.channel.flush()
        if self._listening and (self.channel.has_events or self.channel.fileno() in ready):
            self._receive()
        if self._may_send and self._source_ready(ready):
            self._send_input()
        self._beat()

    @property
    def _listening(self) -> bool:
        return self._end is None and len(self._backlog) < BACKLOG_MAX

    @property
    def _may_send(self) -> bool:
        room = self._flow.room and self.channel.pending < MESSAGE_MAX
        return self._end is None and self._input_open and room

    def _source_ready(self, ready: frozenset[int]) -> bool:
        return self.source.fd is None or self.source.fd in ready

    def _wait(self) -> frozenset[int]:
        """Wait for a descriptor of interest or for the next beat; return what is ready."""
        poll, now = select.poll(), time.monotonic()
        wait = HEARTBEAT_SECONDS if self.deadline is None else max(0.0, self.deadline - now)
        wait = 0.0 if self.channel.has_events else min(wait, HEARTBEAT_SECONDS)
        if self._end is None:
            events = select.POLLIN if self._listening else 0
            events |= select.POLLOUT if self.channel.pending else 0
            if events:
                poll.register(self.channel.fileno(), events)
            if self._may_send and self.source.fd is not None:
                poll.register(self.source.fd, select.POLLIN)
            elif self._may_send:
                wait = 0.0
        if self._backlog and self.sink.fd is not None:
            poll.register(self.sink.fd, select.POLLOUT)
        elif self._backlog:
            wait = 0.0
        if self.alarm is not None:
            poll.register(self.alarm.fd, select.POLLIN)
        ready = frozenset(fd for fd, _ in poll.poll(wait * 1000))
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise TimedOutError("the command did not end in time", code="EXEC_TIMED_OUT")
        return ready

    def _receive(self) -> None:
        for event in self.channel.events():
            self._heard = time.monotonic()
            match event:
                case BytesMessage(data=data):
                    self._backlog += data
                case TextMessage():
                    self._take_control(event)
                case CloseConnection():
                    self._end = event
                    self._answer(event)
                    return
                case _:
                    pass

    def _take_control(self, event: TextMessage) -> None:
        self._text.append(event.data)
        if sum(map(len, self._text)) > MESSAGE_MAX:
            raise FailedError("a control message of the host is too large", code="EXEC_PROTOCOL")
        if event.message_finished:
            text, self._text = "".join(self._text), []
            self._flow.update(decode_server(text))

    def _answer(self, event: CloseConnection) -> None:
        with contextlib.suppress(SheltieError):  # whoever said goodbye need not hear ours
            self.channel.send(event.response())

    def _send_input(self) -> None:
        data = self.source.read(self.piece)
        if data:
            self._flow.sent()
            self.channel.send(BytesMessage(data))
        elif data is not None:
            self._input_open = False
            self.channel.send(TextMessage(encode_client(ContentComplete())))

    def _beat(self) -> None:
        """Ping every so often, and give up on a host that is silent while we listen."""
        now = time.monotonic()
        if not self._listening:
            self._heard = now
        if now - self._heard > HEARTBEAT_TIMEOUT_SECONDS:
            why = f"the host was silent for {HEARTBEAT_TIMEOUT_SECONDS:g} s during an exec"
            raise UnavailableError(why, code="EXEC_LOST")
        if now - self._pinged >= HEARTBEAT_SECONDS and self.channel.pending < MESSAGE_MAX:
            self._pinged = now
            self.channel.send(Ping())


def _status(code: int, reason: str) -> int:
    """Return the exit status that a close tells, or raise what it reports."""
    if code == 1000:  # noqa: PLR2004  RFC 6455 section 7.4.1: a normal close
        known = reason.isascii() and reason.isdigit() and int(reason) <= _STATUS_MAX
        return int(reason) if known else 1
    text = " ".join(reason.split()) or f"the host ended the exec with code {code}"
    if code == 1008:  # noqa: PLR2004  RFC 6455 section 7.4.1: against the policy
        raise RefusedError(text, code="EXEC_REFUSED")
    raise FailedError(text, code="EXEC_FAILED")
