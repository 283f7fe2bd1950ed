"""The listener's side of its channel to the monitor: ask, and match answers by id."""

import asyncio
import itertools
import select
from typing import Any

from admin.ssh.frame import Channel
from admin.ssh.protocol import (
    Ask,
    Ask_,
    Ended,
    Exchange,
    Grant,
    Granted,
    Proof,
    ProveKeys,
    Proven,
    Signed,
    Verdict,
)
from contract.errors import UnavailableError

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

    def ended(self, why: str) -> None:
        """Tell that the connection ends."""
        try:
            self._channel.send(Ended(why[:200]))
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
        future = self._waiting.pop(message.id, None)
        if future is not None and not future.done():
            future.set_result((message, descriptors))
