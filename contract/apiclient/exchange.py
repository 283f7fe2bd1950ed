"""One HTTP request and its answer over a Unix socket, bounded in time and size."""

import contextlib
import socket
import time
from dataclasses import dataclass
from typing import Final

import h11

from contract.apiclient.dial import dial
from contract.errors import FailedError, TimedOutError, UnavailableError, UsageError

__all__ = ["BODY_MAX", "SECONDS", "Response", "exchange"]

BODY_MAX: Final = 16 << 20
"""Largest answer in bytes."""
REQUEST_MAX: Final = 2 << 20
"""Largest request body in bytes: servers take 2 MiB (actix's limit)."""
SECONDS: Final = 30.0
"""Longest time for one request and its answer, unless the caller says otherwise."""
_READ_SIZE: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Response:
    """Status, 100 to 599, and body."""

    status: int
    body: bytes


def exchange(
    path: str, method: str, uri: str, body: bytes = b"", *, seconds: float = SECONDS
) -> Response:
    """Ask the API at socket `path`; any status is an answer.

    Raises UnavailableError, TimedOutError (API_TIMED_OUT), UsageError for what is no request and
    FailedError for what is no answer.
    """
    request = _request(method, uri, body)
    deadline = time.monotonic() + seconds
    with contextlib.closing(dial(path)) as connection:
        machine = h11.Connection(h11.CLIENT)
        try:
            _send(connection, machine, request, body, deadline)
            return _receive(connection, machine, deadline)
        except TimeoutError as error:
            raise TimedOutError(
                f"the host API did not answer {method} {uri} in {seconds:g} s",
                code="API_TIMED_OUT",
            ) from error
        except h11.RemoteProtocolError as error:
            raise UnavailableError(
                f"the host API broke off its answer to {method} {uri}", code="API_BROKEN"
            ) from error
        except OSError as error:
            why = error.strerror or str(error)
            raise UnavailableError(f"the host API hung up: {why}", code="API_BROKEN") from error


def _request(method: str, uri: str, body: bytes) -> h11.Request:
    if not uri.startswith("/"):
        raise UsageError(
            f"{uri[:60]!r} is no URI of the API", hint="it starts with /", code="URI_INVALID"
        )
    if len(body) > REQUEST_MAX:
        raise UsageError(f"a request holds at most {REQUEST_MAX} bytes", code="REQUEST_TOO_LARGE")
    headers = [("host", "localhost"), ("connection", "close"), ("accept", "*/*")]
    headers.append(("content-type", "application/json"))
    if body or method not in {"GET", "HEAD"}:
        headers.append(("content-length", str(len(body))))
    try:
        return h11.Request(method=method, target=_ascii(uri), headers=headers)
    except (h11.LocalProtocolError, UnicodeEncodeError) as error:
        raise UsageError(
            f"{method[:20]} {uri[:60]} is no request: {error}", code="URI_INVALID"
        ) from error


def _ascii(uri: str) -> str:
    """Return the URI with what may not stand in one written as %XX (RFC 3986 section 2.1)."""
    if uri.isascii() and uri.isprintable() and " " not in uri:
        return uri
    from urllib.parse import quote

    return quote(uri, safe="/?&=%:,.-_~+!$'()*;@[]#", errors="surrogateescape")


def _send(
    connection: socket.socket,
    machine: h11.Connection,
    request: h11.Request,
    body: bytes,
    deadline: float,
) -> None:
    data = [machine.send(request)]
    if body:
        data.append(machine.send(h11.Data(data=body)))
    data.append(machine.send(h11.EndOfMessage()))
    _limit(connection, deadline)
    # A server may refuse before it has read all, and hang up; its answer is still worth reading.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(b"".join(part for part in data if part))


def _receive(connection: socket.socket, machine: h11.Connection, deadline: float) -> Response:
    status, parts, size = 0, [], 0
    while True:
        match machine.next_event():
            case h11.NEED_DATA:
                _limit(connection, deadline)
                machine.receive_data(connection.recv(_READ_SIZE))
            case h11.Response(status_code=status):
                pass
            case h11.Data(data=data):
                parts.append(bytes(data))
                size += len(data)
                if size > BODY_MAX:
                    why = f"the host API's answer is larger than {BODY_MAX} bytes"
                    raise FailedError(why, code="API_ANSWER_TOO_LARGE")
            case h11.EndOfMessage():
                return Response(status, b"".join(parts))
            case h11.ConnectionClosed():
                raise ConnectionResetError("no answer")
            case _:
                pass


def _limit(connection: socket.socket, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.settimeout(left)
