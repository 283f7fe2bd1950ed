"""Asking a running daemon over the host's own socket."""

import http.client
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from contract import peer
from contract.errors import FailedError, NotFoundError, UnavailableError
from contract.status import HostStatus

__all__ = ["end", "get", "post", "status", "stop", "stream"]

TIMEOUT_SECONDS = 90.0
"""Longest wait: stopping gives each container its 20 s, and they stop together."""


def status(path: Path) -> HostStatus:
    """Return the daemon's status. Raises UnavailableError, NotFoundError, FailedError."""
    body = _ask(path, "GET", "/sheltie/v1/status")
    try:
        return msgspec.json.decode(body, type=HostStatus)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        why = f"what answers at {path} is no daemon of ours: {error}"
        raise FailedError(why, code="DAEMON_REFUSED") from error


def stop(path: Path) -> None:
    """Have the daemon stop every container and end. Raises as `status` does."""
    _ask(path, "POST", "/sheltie/v1/stop")


def end(path: Path) -> None:
    """End the daemon by TERM; its containers stay. Raises UnavailableError (DAEMON_SILENT).

    For a stock daemon, which knows no such request. The kernel says who listens (unix(7)).
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        connection.connect(str(path))
        listener = peer.of(connection)
        descriptor = os.pidfd_open(listener.pid)
        try:
            # As long as the connection is served the pid is the daemon's.
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UnavailableError(
            f"no daemon at {path} can be ended from here: {why}",
            hint="send TERM to it by its pid",
            code="DAEMON_SILENT",
        ) from error
    finally:
        connection.close()


def get(path: Path, target: str) -> bytes:
    """Return the body of an answer. Raises UnavailableError (DAEMON_SILENT), FailedError."""
    return _ask(path, "GET", target)


def post(path: Path, target: str, wait: float = 0.0) -> bytes:
    """Post without a body; the answer may take `wait` seconds longer. Raises as `get` does."""
    return _ask(path, "POST", target, TIMEOUT_SECONDS + wait)


def stream(path: Path, target: str) -> Iterator[bytes]:
    """Yield the lines of an answer as they come, for as long as they do. Raises as `get` does."""
    with _answered(path, "GET", target, None) as response:
        yield from response


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _ask(path: Path, method: str, target: str, timeout: float = TIMEOUT_SECONDS) -> bytes:
    with _answered(path, method, target, timeout) as response:
        return response.read()


@contextmanager
def _answered(
    path: Path, method: str, target: str, timeout: float | None
) -> Iterator[http.client.HTTPResponse]:
    connection = _Connection(path, timeout)
    try:
        connection.request(method, target)
        response = connection.getresponse()
        if response.status >= 400:  # noqa: PLR2004  RFC 9110: the classes of errors
            why = response.read().decode("utf-8", "replace")
            if response.status == 404 and not why:  # noqa: PLR2004  RFC 9110: Not Found
                raise NotFoundError(
                    f"the daemon at {path} offers no {target.partition('?')[0]}",
                    hint="is it a stock one (`hostd serve --stock`)?",
                    code="EXTENSION_MISSING",
                )
            raise FailedError(why, code="DAEMON_REFUSED")
        yield response
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UnavailableError(
            f"no daemon answers at {path}: {why}",
            hint="start one with `hostd serve`, or name its --run or --socket",
            code="DAEMON_SILENT",
        ) from error
    finally:
        connection.close()
