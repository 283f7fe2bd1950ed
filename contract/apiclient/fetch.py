"""Documents from where they lie: file://, http(s)://, base64:, and `-` for standard input.

Upstream's limits: four at a time, 2 MiB each, 10 s to connect and 30 s in all.
"""

import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import unquote, urlsplit

from contract.errors import (
    FailedError,
    NotFoundError,
    SheltieError,
    TimedOutError,
    UnavailableError,
    UsageError,
)

__all__ = ["LIMIT", "STDIN", "Pace", "fetch_all"]

LIMIT: Final = 2 << 20
"""Largest document in bytes."""
STDIN: Final = "-"
AT_ONCE: Final = 4
_TICK_SECONDS: Final = 0.1
_READ_SIZE: Final = 64 << 10


class Pace:
    """Seconds: to connect or to wait for the next bytes, and for one document in all."""

    def __init__(self, connect: float = 10.0, whole: float = 30.0) -> None:
        self.connect = connect
        self.whole = whole


def fetch_all(
    uris: Sequence[str], pace: Pace | None = None, tick: Callable[[], None] = lambda: None
) -> list[bytes]:
    """Return the documents in the order of `uris`, fetched side by side; `tick` while waiting.

    Raises UsageError, NotFoundError, UnavailableError, TimedOutError, FailedError.
    """
    pace = pace or Pace()
    for uri in uris:
        _check(uri)
    if list(uris).count(STDIN) > 1:
        raise UsageError("standard input can be read once", code="URI_INVALID")
    found: dict[int, bytes] = {index: _stdin() for index, uri in enumerate(uris) if uri == STDIN}
    waiting = [(index, uri) for index, uri in enumerate(uris) if uri != STDIN]
    for at in range(0, len(waiting), AT_ONCE):
        found.update(_together(waiting[at : at + AT_ONCE], pace, tick))
    return [found[index] for index in range(len(uris))]


def _together(
    few: Sequence[tuple[int, str]], pace: Pace, tick: Callable[[], None]
) -> dict[int, bytes]:
    """Fetch a few at once, by threads that nobody waits for beyond the deadline."""
    done: queue.SimpleQueue[tuple[int, bytes | SheltieError]] = queue.SimpleQueue()
    deadline = time.monotonic() + pace.whole
    for index, uri in few:
        work = (index, uri, pace.connect, deadline, done)
        threading.Thread(target=_work, args=work, daemon=True).start()
    found: dict[int, bytes] = {}
    while len(found) < len(few):
        try:
            index, data = done.get(timeout=_TICK_SECONDS)
        except queue.Empty:
            tick()
            if time.monotonic() > deadline:
                late = next(uri for index, uri in few if index not in found)
                raise _timed_out(late, pace.whole) from None
            continue
        if isinstance(data, SheltieError):
            raise data
        found[index] = data
    return found


def _work(
    index: int,
    uri: str,
    connect: float,
    deadline: float,
    done: "queue.SimpleQueue[tuple[int, bytes | SheltieError]]",
) -> None:
    try:
        done.put((index, _fetch(uri, connect, deadline)))
    except SheltieError as error:
        done.put((index, error))
    except Exception as error:  # noqa: BLE001  whatever it was, who waits must hear of it
        done.put((index, FailedError(f"cannot fetch {_shown(uri)}: {error}", code="FETCH_FAILED")))


def _check(uri: str) -> None:
    scheme = uri.partition(":")[0]
    if uri != STDIN and (":" not in uri or scheme not in {"file", "http", "https", "base64"}):
        raise UsageError(
            f"{_shown(uri)!r} is no URI of a document",
            hint="name it file://, http://, https:// or base64:, or - for standard input",
            code="URI_INVALID",
        )


def _fetch(uri: str, connect: float, deadline: float) -> bytes:
    match uri.partition(":")[0]:
        case "base64":
            return _base64(uri.partition(":")[2])
        case "file":
            return _file(uri)
        case _:
            return _http(uri, connect, deadline)


def _base64(text: str) -> bytes:
    import base64
    import binascii

    try:
        return _fits("base64:", base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise UsageError("what follows base64: is none", code="URI_INVALID") from error


def _file(uri: str) -> bytes:
    parts = urlsplit(uri)
    if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
        raise UsageError(
            f"{_shown(uri)!r} names no file of this machine",
            hint="write file:///PATH",
            code="URI_INVALID",
        )
    path = unquote(parts.path, errors="surrogateescape")
    try:
        with open(path, "rb") as file:  # noqa: PTH123  pathlib would cost its import
            return _fits(uri, file.read(LIMIT + 1))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise NotFoundError(f"cannot read {path}: {why}", code="DOCUMENT_UNREADABLE") from error


def _http(uri: str, connect: float, deadline: float) -> bytes:
    import http.client
    import urllib.error
    import urllib.request

    opener = urllib.request.build_opener()
    try:
        with opener.open(uri, timeout=connect) as response:
            data = bytearray()
            while len(data) <= LIMIT and (piece := response.read1(_READ_SIZE)):
                data += piece
                if time.monotonic() > deadline:
                    raise TimeoutError
    except urllib.error.HTTPError as error:
        error.close()
        why = f"cannot fetch {_shown(uri)}: HTTP status {error.code}"
        raise FailedError(why, code="FETCH_FAILED") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise _timed_out(uri, connect) from error
        raise UnavailableError(
            f"cannot fetch {_shown(uri)}: {reason}", code="DOCUMENT_UNREACHABLE"
        ) from error
    return _fits(uri, bytes(data))


def _stdin() -> bytes:
    return _fits("standard input", sys.stdin.buffer.read(LIMIT + 1))


def _fits(name: str, data: bytes) -> bytes:
    if len(data) > LIMIT:
        raise UsageError(f"{_shown(name)} is larger than {LIMIT} bytes", code="DOCUMENT_TOO_LARGE")
    return data


def _timed_out(uri: str, seconds: float) -> TimedOutError:
    return TimedOutError(f"{_shown(uri)} did not come in {seconds:g} s", code="FETCH_TIMED_OUT")


def _shown(uri: str) -> str:
    """Return a URI as errors show it: short, and without a login."""
    scheme, mark, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"[:100]
