"""Asking a running daemon over the host's own socket."""

import http.client
import socket
from pathlib import Path

import msgspec

from contract.errors import FailedError, UnavailableError
from contract.status import HostStatus

__all__ = ["status", "stop"]

TIMEOUT_SECONDS = 90.0
"""Longest wait: stopping gives each container its 20 s, and they stop together."""


def status(path: Path) -> HostStatus:
    """Return the daemon's status. Raises UnavailableError (DAEMON_SILENT), FailedError."""
    body = _ask(path, "GET", "/sheltie/v1/status")
    try:
        return msgspec.json.decode(body, type=HostStatus)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        why = f"what answers at {path} is no daemon of ours: {error}"
        raise FailedError(why, code="DAEMON_REFUSED") from error


def stop(path: Path) -> None:
    """Have the daemon stop every container and end. Raises UnavailableError, FailedError."""
    _ask(path, "POST", "/sheltie/v1/stop")


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _ask(path: Path, method: str, target: str) -> bytes:
    connection = _Connection(path)
    try:
        connection.request(method, target)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UnavailableError(
            f"no daemon answers at {path}: {why}",
            hint="start one with `hostd serve`, or name its --run or --socket",
            code="DAEMON_SILENT",
        ) from error
    finally:
        connection.close()
    if response.status >= 400:  # noqa: PLR2004  RFC 9110: the classes of errors
        raise FailedError(body.decode("utf-8", "replace"), code="DAEMON_REFUSED")
    return body
