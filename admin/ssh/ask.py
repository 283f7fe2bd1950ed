"""The listener's side of its channel to the monitor: ask, and match answers by id."""

import asyncio
import itertools
import os
import select
import socket
from collections.abc import Callable
from typing import Any

from admin.ssh.frame import Channel
from admin.ssh.protocol import (
    Ask,
    Ask_,
    AskAgent,
    Closed,
    Denied,
    Ended,
    Exchange,
    Grant,
    Granted,
    Incoming,
    Listen,
    Listening,
    Open,
    Opened,
    Proof,
    ProveKeys,
    Proven,
    Signed,
    Unlisten,
    Unreached,
    Verdict,
)
from contract.errors import RefusedError, UnavailableError

__all__ = ["Monitor"]

ANSWER_SECONDS = 30


class Monitor:
    """The monitor, as one listener sees it. Methods raise UnavailableError when it is gone."""

    def __init__(self, channel: "Channel[Ask_, Grant]", loop: asyncio.AbstractEventLoop) -> None:
        self._channel = channel
        self._loop = loop
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[tuple[Any, list[int]]]] = {}
        self.gone = loop.create_future()
        self.incoming: Callable[[Incoming, socket.socket], None] | None = None
        """Hears of whom a port or the agent's socket was opened by."""
        loop.add_reader(channel.fileno(), self._readable)

    def exchange(self, **fields: Any) -> Signed:
        """Have a key exchange hashed and signed; the loop stands still meanwhile (152 µs)."""
        answer = self._wait(Exchange(id=next(self._ids), **fields))
        if not isinstance(answer, Signed):
            raise UnavailableError("the monitor answers something else")
        return answer

    def prove_keys(self, keys: list[bytes]) -> list[bytes]:
        """Return signatures that prove our host keys, none where one is not ours; waits."""
        answer = self._wait(ProveKeys(next(self._ids), keys))
        return answer.signatures if isinstance(answer, Proven) else []

    async def prove(self, user: str, key: bytes, message: bytes, signature: bytes) -> bool:
        """Return the monitor's verdict on a probe or a proof."""
        number = next(self._ids)
        answer, _ = await self._ask(number, Proof(number, user, key, message, signature))
        return isinstance(answer, Verdict) and answer.accepted

    async def session(self) -> tuple[Granted, list[int]] | None:
        """Return what was granted and the descriptors of a new session; None where it is denied."""
        number = next(self._ids)
        answer, descriptors = await self._ask(number, Ask(number))
        return (answer, descriptors) if isinstance(answer, Granted) else None

    def number(self) -> int:
        """Return a new id, for what is to be listened on."""
        return next(self._ids)

    async def open(self, host: str, port: int) -> socket.socket:
        """Return a socket that is connected. Raises RefusedError where that may not be."""
        number = next(self._ids)
        answer, descriptors = await self._ask(number, Open(number, host, port))
        if isinstance(answer, Opened) and len(descriptors) == 1:
            return socket.socket(fileno=descriptors[0])
        raise _forward_error(answer)

    async def listen(self, message: Listen | AskAgent) -> int:
        """Have the monitor listen, and return the port. Raises RefusedError."""
        answer, _ = await self._ask(message.id, message)
        if isinstance(answer, Listening):
            return answer.port
        raise _forward_error(answer)

    def unlisten(self, number: int) -> None:
        """End what was listened on."""
        self._tell(Unlisten(number))

    def closed(self) -> None:
        """Tell that a forwarded connection ended."""
        self._tell(Closed())

    def ended(self, why: str) -> None:
        """Tell that the connection ends."""
        self._tell(Ended(why[:200]))

    def _tell(self, message: Ask_) -> None:
        try:
            self._channel.send(message)
        except OSError:
            return  # the monitor ended first, and knows

    def _wait(self, message: Exchange | ProveKeys) -> Any:
        self._channel.send(message)
        poll = select.poll()
        poll.register(self._channel.fileno(), select.POLLIN)
        while poll.poll(ANSWER_SECONDS * 1000):
            answer, descriptors = self._next()
            if answer.id == message.id:
                return answer
            self._settle(answer, descriptors)
        raise UnavailableError("the monitor does not answer")

    async def _ask(self, number: int, message: Ask_) -> tuple[Any, list[int]]:
        future = self._loop.create_future()
        self._waiting[number] = future
        self._channel.send(message)
        return await asyncio.wait_for(future, ANSWER_SECONDS)

    def _readable(self) -> None:
        try:
            message, descriptors = self._next()
        except (UnavailableError, OSError):
            self._loop.remove_reader(self._channel.fileno())
            if not self.gone.done():
                self.gone.set_result(None)
        else:
            self._settle(message, descriptors)

    def _next(self) -> tuple[Any, list[int]]:
        received = self._channel.receive()
        if received is None:
            raise UnavailableError("the monitor is gone")
        return received

    def _settle(self, message: Any, descriptors: list[int]) -> None:
        if isinstance(message, Incoming) and self.incoming is not None and len(descriptors) == 1:
            self.incoming(message, socket.socket(fileno=descriptors[0]))
            return
        future = self._waiting.pop(message.id, None)
        if future is not None and not future.done():
            future.set_result((message, descriptors))
            return
        for one in descriptors:  # who asked waits no more
            os.close(one)


def _forward_error(answer: Any) -> RefusedError | UnavailableError:
    """Return what a forward failed by: it may not be, or it could not."""
    if isinstance(answer, Denied):
        return RefusedError("forwarding refused", code="FORWARD_REFUSED")
    why = answer.why if isinstance(answer, Unreached) else "the monitor answers something else"
    return UnavailableError(why, code="FORWARD_FAILED")
