"""One client's connection: HTTP/1.1 by h11, until it ends or becomes an exec's WebSocket.

Whatever a client sends, the answer is a status it can understand, or the end of the connection;
malformed HTTP is 400 and the end.
"""

import asyncio
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import h11

from contract.errors import UnavailableError, UsageError
from contract.peer import Peer
from host.api import exec as exec_endpoint
from host.api import message, routes
from host.api.gone import gone
from host.api.limits import Limits
from host.api.message import Call, Response, Stream
from host.callers import Caller
from host.house import House

__all__ = ["Connection"]

_READ_SIZE = 64 << 10


@dataclass(eq=False)
class Connection:
    """Serves `reader` and `writer` until the end; `run` never raises but when cancelled."""

    house: House
    caller: Caller
    peer: Peer
    reader: StreamReader
    writer: StreamWriter
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        # Since when a whole request has been waited for; None while one is being answered.
        self.waiting_since: float | None = time.monotonic()
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=self.limits.head)
        self._bodiless = False

    async def run(self) -> None:
        """Answer requests until the client ends, errs, or is silent for too long."""
        try:
            while await self._cycle():
                self._http.start_next_cycle()
                self.waiting_since = time.monotonic()
        except (TimeoutError, ConnectionError):
            pass
        finally:
            await self._hang_up()

    def drop(self) -> None:
        """End at once, as when the client has vanished."""
        self.waiting_since = None
        self.writer.transport.abort()

    async def _hang_up(self) -> None:
        """Close: what is left is sent, but a client that does not read may not stay for ever."""
        self.writer.close()
        try:
            async with asyncio.timeout(self.limits.linger):
                await self.writer.wait_closed()
        except (TimeoutError, OSError):
            pass
        finally:
            self.writer.transport.abort()

    async def _cycle(self) -> bool:
        """Answer one request; return whether another may follow on this connection."""
        try:
            request = await self._request()
        except h11.RemoteProtocolError as error:
            await self._refuse(error.error_status_hint, str(error))
            return False
        if request is None:
            return False
        self._bodiless = request.method == b"HEAD"
        try:
            async with asyncio.timeout(self.limits.request):
                call = await self._call(request)
            self.waiting_since = None
        except h11.RemoteProtocolError as error:
            await self._refuse(error.error_status_hint, str(error))
            return False
        except _TooLargeError as error:
            await self._refuse(413, str(error))
            return False
        except UsageError as error:
            await self._send(message.failed(error))
            return self._reusable()
        if (call.method, call.path) == routes.EXEC:
            return await self._exec(call)
        response = await routes.answer(self.house, call)
        if isinstance(response, Stream):
            await self._stream(response)
        else:
            await self._send(response)
        return self._reusable()

    async def _request(self) -> h11.Request | None:
        """Return the next request's head, or None where the client has ended."""
        async with asyncio.timeout(self.limits.idle):
            event = await self._event()
        return event if isinstance(event, h11.Request) else None

    async def _call(self, request: h11.Request) -> Call:
        """Read the rest of a request. Raises _TooLargeError before taking more than the limit."""
        headers = _headers(request)
        # h11 has checked that the length is a number.
        length, limit = int(headers.get("content-length", "0")), self.limits.body
        if length > limit:
            what = f"JSON payload ({length} bytes) is larger than allowed (limit: {limit} bytes)."
            raise _TooLargeError(what)
        body = bytearray()
        while isinstance(event := await self._event(), h11.Data):
            body += event.data
            if len(body) > limit:
                raise _TooLargeError(f"JSON payload has exceeded limit ({limit} bytes).")
        path, query = message.parse_target(request.target)
        method = request.method.decode("ascii")
        return Call(self.caller, self.peer, method, path, query, headers, bytes(body))

    async def _event(self) -> h11.Event | type[h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[])
                self.writer.write(self._http.send(go_on) or b"")
            self._http.receive_data(await self.reader.read(_READ_SIZE))
        if isinstance(event, h11.ConnectionClosed):
            return h11.PAUSED
        return event  # type: ignore[return-value]  # NEED_DATA never leaves the loop

    async def _exec(self, call: Call) -> bool:
        opening = exec_endpoint.opening(self.house, call)
        if isinstance(opening, Response):
            await self._send(opening)
            return self._reusable()
        switch = h11.InformationalResponse(
            status_code=101, headers=opening, reason="Switching Protocols"
        )
        self.writer.write(self._http.send(switch) or b"")
        rest, _ = self._http.trailing_data
        await exec_endpoint.serve(self.house, call, self.reader, self.writer, rest)
        return False

    async def _send(self, response: Response, *, last: bool = False) -> None:
        headers = [("date", _now())]
        if response.kind:
            headers.append(("content-type", response.kind))
        if response.status != 204:  # noqa: PLR2004  RFC 9110 section 8.6: no length with 204
            headers.append(("content-length", str(len(response.body))))
        if last:
            headers.append(("connection", "close"))
        reason = HTTPStatus(response.status).phrase
        head = h11.Response(status_code=response.status, headers=headers, reason=reason)
        body = b"" if self._bodiless else response.body
        data = [self._http.send(head), self._http.send(h11.Data(data=body))]
        data.append(self._http.send(h11.EndOfMessage()))
        self.writer.write(b"".join(part or b"" for part in data))
        async with asyncio.timeout(self.limits.request):
            await self.writer.drain()

    async def _stream(self, stream: Stream) -> None:
        """Send an answer piece by piece, as fast as the client takes it, until either ends."""
        streams, label = self.house.streams, self.caller.label
        if streams[label] >= self.limits.streams:
            await stream.chunks.aclose()
            error = UnavailableError(
                f"{self.caller} has {streams[label]} streams open",
                hint="end one of them",
                code="STREAMS_FULL",
            )
            await self._send(message.failed(error))
            return
        streams[label] += 1
        try:
            async with aclosing(stream.chunks):
                await self._pieces(stream)
        finally:
            streams[label] -= 1

    async def _pieces(self, stream: Stream) -> None:
        # Without a length h11 frames the body: in chunks, or by the end of the connection.
        headers = [("date", _now()), ("content-type", stream.kind)]
        head = h11.Response(status_code=200, headers=headers, reason="OK")
        self.writer.write(self._http.send(head) or b"")
        with gone(self.writer) as left:
            while (piece := await _before(left, stream.chunks)) is not None:
                self.writer.write(self._http.send(h11.Data(data=piece)) or b"")
                async with asyncio.timeout(self.limits.request):
                    await self.writer.drain()
        self.writer.write(self._http.send(h11.EndOfMessage()) or b"")

    async def _refuse(self, status: int, why: str) -> None:
        """Answer what could not be read as a request, and let the client read that answer.

        Closing a socket with unread data resets it, and the answer would be lost (unix(7)).
        """
        if self._http.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return
        await self._send(Response(status, why.encode(), "text/plain; charset=utf-8"), last=True)
        if self.writer.can_write_eof():
            self.writer.write_eof()
        async with asyncio.timeout(self.limits.linger):
            while await self.reader.read(_READ_SIZE):
                pass

    def _reusable(self) -> bool:
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE


def _headers(request: h11.Request) -> dict[str, str]:
    """Return the headers by lower-case name, repeated ones as one list (RFC 9110 section 5.3)."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in request.headers:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


async def _before(left: asyncio.Future[None], chunks: AsyncGenerator[bytes, None]) -> bytes | None:
    """Return the next piece, or None after the last. Raises ConnectionError once `left` is done."""

    async def following() -> bytes | None:
        return await anext(chunks, None)

    piece = asyncio.ensure_future(following())
    either: set[asyncio.Future[Any]] = {piece, left}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if left.done():
            raise ConnectionError
        return await piece
    finally:
        if not piece.done():
            piece.cancel()
            await asyncio.wait({piece})


class _TooLargeError(Exception):
    """The body goes beyond the limit."""


def _now() -> str:
    """Return the Date header's value (RFC 9110 section 5.6.7); we never set a locale."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
