"""Bringing files of an update: what was broken off goes on where it stopped, also after a reboot.

A file is FILE.part until its digest was seen to be right. A server that knows no ranges is asked
for the whole again; one that holds another file by now too.
"""

import errno
import hashlib
import http.client
import os
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final

from contract.errors import FailedError, MachineError, TimedOutError, UnavailableError
from host.update.manifest import Artifact

__all__ = ["Source", "StoppedError", "artifact", "digest", "full", "small"]

SMALL_MAX: Final = 1 << 20
"""Largest manifest or signature in bytes."""
ARTIFACT_MAX: Final = 1 << 30
"""Largest file of an update: slots are smaller."""
ROOM_LEFT: Final = 16 << 20
"""Bytes that stay free beside a download: settings and audit are on the same disk."""
SECONDS: Final = 15.0
"""Longest wait for the next bytes."""
_PIECE: Final = 1 << 18


class StoppedError(Exception):
    """The caller wants it no more."""


@dataclass(frozen=True, slots=True)
class Source:
    """How servers are reached: proxies as {scheme: URL}, names without, more certificates."""

    proxies: Mapping[str, str] = field(default_factory=dict)
    direct: tuple[str, ...] = ()
    certificates: bytes = b""

    def open(self, url: str, start: int = 0) -> http.client.HTTPResponse:
        """Ask for a file from byte `start` on. Raises OSError, HTTPException, ValueError."""
        context = ssl.create_default_context()
        if self.certificates:
            context.load_verify_locations(cadata=self.certificates.decode("ascii"))
        handlers = (
            urllib.request.ProxyHandler({} if self._is_direct(url) else dict(self.proxies)),
            urllib.request.HTTPSHandler(context=context),
        )
        opener = urllib.request.OpenerDirector()
        for handler in (
            *handlers,
            urllib.request.HTTPHandler(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.UnknownHandler(),
        ):
            opener.add_handler(handler)
        headers = {"Range": f"bytes={start}-"} if start else {}
        request = urllib.request.Request(url, headers=headers)  # noqa: S310  http(s) handlers only
        response: http.client.HTTPResponse = opener.open(request, timeout=SECONDS)
        return response

    def _is_direct(self, url: str) -> bool:
        host = (urllib.parse.urlsplit(url).hostname or "").lower()
        names = [name.lower().lstrip(".") for name in self.direct]
        return any(name and (host == name or host.endswith(f".{name}")) for name in names)


def small(source: Source, url: str) -> bytes:
    """Return a small file. Raises UnavailableError, TimedOutError, FailedError."""
    try:
        with source.open(url) as response:
            data = response.read(SMALL_MAX + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _failure(url, error) from error
    if len(data) > SMALL_MAX:
        raise FailedError(f"{_shown(url)} is too large", code="UPDATE_MANIFEST")
    return data


def artifact(
    source: Source,
    url: str,
    wanted: Artifact,
    place: Path,
    stop: threading.Event,
    tell: Callable[[int, int], None],
) -> Path:
    """Bring a file to `place` and return it; `tell` hears how many bytes of how many are there.

    Raises StoppedError, UnavailableError, TimedOutError, FailedError, MachineError
    (UPDATE_DISK_FULL).
    """
    whole = place / wanted.file
    if whole.exists() and digest(whole, stop) == wanted.digest:
        return whole
    whole.unlink(missing_ok=True)
    part = place / f"{wanted.file}.part"
    try:
        _bring(source, url, part, stop, tell)
    except urllib.error.HTTPError as error:
        failed = _failure(url, error)
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise failed from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            part.unlink(missing_ok=True)
            raise full(place, wanted.file) from error
        raise _failure(url, error) from error
    except (http.client.HTTPException, ValueError) as error:
        raise _failure(url, error) from error
    if digest(part, stop) != wanted.digest:
        part.unlink()
        raise FailedError(
            f"{wanted.file} is not what the signed manifest names",
            hint="the server's copy was changed or cut; try again",
            code="UPDATE_DAMAGED",
        )
    part.rename(whole)
    return whole


def digest(file: Path, stop: threading.Event | None = None) -> str:
    """Return the SHA-256 of a file; of a missing one, that of nothing.

    Raises OSError, StoppedError.
    """
    seen = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while piece := stream.read(_PIECE):
                _check(stop)
                seen.update(piece)
    except FileNotFoundError:
        pass
    return seen.hexdigest()


def _bring(
    source: Source,
    url: str,
    part: Path,
    stop: threading.Event,
    tell: Callable[[int, int], None],
) -> None:
    """Write what is missing of a file.

    Raises OSError, HTTPException, MachineError, StoppedError.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(part, flags, 0o600)
    try:
        have = os.fstat(descriptor).st_size
        with source.open(url, have) as response:
            if response.status != HTTPStatus.PARTIAL_CONTENT or not _goes_on(response, have):
                os.ftruncate(descriptor, 0)
                have = 0
            left = int(response.headers.get("Content-Length") or 0)
            total = have + left
            _room(part, left)
            while piece := response.read1(_PIECE):
                _check(stop)
                view = memoryview(piece)
                while view:
                    view = view[os.write(descriptor, view) :]
                have += len(piece)
                if have > ARTIFACT_MAX:
                    raise FailedError(f"{_shown(url)} is too large", code="UPDATE_DAMAGED")
                tell(have, total)
        if have < total:
            raise http.client.IncompleteRead(b"", total - have)
    finally:
        os.fsync(descriptor)
        os.close(descriptor)


def _goes_on(response: http.client.HTTPResponse, start: int) -> bool:
    return (response.headers.get("Content-Range") or "").startswith(f"bytes {start}-")


def _room(part: Path, wanted: int) -> None:
    free = os.statvfs(part.parent)
    if wanted + ROOM_LEFT > free.f_bavail * free.f_frsize:
        raise full(part.parent, part.stem)


def full(place: Path, file: str) -> MachineError:
    """Return what is said where a file finds no room."""
    return MachineError(
        f"there is no room for {file} in {place}",
        hint="make room on the data partition, and try again",
        code="UPDATE_DISK_FULL",
    )


def _check(stop: threading.Event | None) -> None:
    if stop is not None and stop.is_set():
        raise StoppedError


def _failure(url: str, error: Exception) -> FailedError | TimedOutError | UnavailableError:
    """Return in our words what kept a file from coming."""
    where = _shown(url)
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return FailedError(
            f"cannot fetch {where}: HTTP status {error.code}", code="UPDATE_FETCH_FAILED"
        )
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return TimedOutError(
            f"{where} sent nothing for {SECONDS:g} s",
            hint="try again: it goes on where it stopped",
            code="UPDATE_FETCH_SLOW",
        )
    if isinstance(reason, http.client.IncompleteRead):
        reason = "the connection broke off"
    return UnavailableError(
        f"cannot fetch {where}: {reason}",
        hint="try again: it goes on where it stopped",
        code="UPDATE_UNREACHABLE",
    )


def _shown(url: str) -> str:
    """Return a URL as errors show it: short, and without a login."""
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"[:200]
