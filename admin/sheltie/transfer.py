"""One file copied to or from the host, whole or not at all.

Both sides are opened by this one process: what lies in the container before it enters the host,
the host's file in there. So no byte passes through anybody else, and no link of one side is
followed on the other.
"""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import stat
from secrets import token_hex

from contract.errors import ConflictError, FailedError, NotFoundError, SheltieError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

__all__ = ["get", "put"]

CHUNK = 1 << 20
STANDARD = "-"
READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def get(path: str, local: str, enter: Callable[[], None]) -> None:
    """Copy the host's file `path` to `local`, or to standard output. Raises SheltieError.

    `enter` moves this process into the host's namespaces.
    """
    target = None
    if local != STANDARD:
        target = _Target(local or ".", os.path.basename(path))  # noqa: PTH119  as everywhere here
    _settle()
    enter()
    source, expected = _open_source(path)
    if target is None:
        digest = _copy(source, 1, path, expected.st_size)
    else:
        mode = stat.S_IMODE(expected.st_mode) & 0o700
        digest = target.fill(
            lambda into: _copy(source, into, path, expected.st_size), mode, _caller()
        )
    _tell(digest, path, aloud=target is not None)


def put(local: str, path: str, enter: Callable[[], None]) -> None:
    """Copy `local`, or standard input, to the host's file `path`. Raises SheltieError."""
    source, size, mode, name = 0, 0, 0o600, ""
    if local != STANDARD:
        source, status = _open_source(local)
        size, mode = status.st_size, stat.S_IMODE(status.st_mode) & 0o777
        name = os.path.basename(local)  # noqa: PTH119  likewise
    _settle()
    enter()
    target = _Target(path, name)
    digest = target.fill(lambda into: _copy(source, into, local, size), mode)
    _tell(digest, target.path, aloud=True)


class _Target:
    """A place for a file: its directory is held, so that nobody can move it away meanwhile."""

    def __init__(self, path: str, name: str) -> None:
        """Find the place; a directory gets a file called `name`. Raises SheltieError."""
        try:
            inside = stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116  likewise
        except OSError:
            inside = False
        if inside and name:
            path = os.path.join(path, name)  # noqa: PTH118  likewise
        directory, self._name = os.path.split(path)
        self.path = path
        if self._name in ("", ".", ".."):
            raise UsageError(f"{path} is no name for a file", code="COPY_NAME")
        try:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            self._directory = os.open(directory or ".", flags)
            self._old = self._look()
        except OSError as error:
            raise _failed(path, error) from error

    def _look(self) -> os.stat_result | None:
        """Return what is there, if it is a file. Raises ConflictError (COPY_SURPRISE), OSError."""
        try:
            found = os.stat(self._name, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode):
            raise _surprise(self.path, found.st_mode)
        return found

    def fill(
        self, copy: Callable[[int], str], mode: int, owner: tuple[int, int] | None = None
    ) -> str:
        """Let `copy` write a file, put it in its place, durably, and return what `copy` returned.

        A file that is replaced leaves its owner and mode to the new one. Raises SheltieError.
        """
        scratch = f".{self._name[:200]}.{token_hex(6)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            into = os.open(scratch, flags, 0o600, dir_fd=self._directory)
            try:
                digest = copy(into)
                if self._old:
                    owner = self._old.st_uid, self._old.st_gid
                    mode = stat.S_IMODE(self._old.st_mode)
                if owner:
                    os.fchown(into, *owner)
                os.fchmod(into, mode)
                os.fsync(into)
                held = self._directory
                os.rename(scratch, self._name, src_dir_fd=held, dst_dir_fd=held)
            except BaseException:
                os.unlink(scratch, dir_fd=self._directory)
                raise
            os.fsync(self._directory)
        except OSError as error:
            raise _failed(self.path, error) from error
        return digest


def _caller() -> tuple[int, int] | None:
    """Return uid and gid of whom sudo(8) made root: what they get is theirs."""
    numbers = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if all(one.isascii() and one.isdigit() for one in numbers):
        return int(numbers[0]), int(numbers[1])
    return None


def _open_source(path: str) -> tuple[int, os.stat_result]:
    try:
        source = os.open(path, READING)
        found = os.fstat(source)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _surprise(path, stat.S_IFLNK) from error
        if error.errno == errno.ENXIO:
            raise _surprise(path, stat.S_IFSOCK) from error
        raise _failed(path, error) from error
    if not stat.S_ISREG(found.st_mode):
        raise _surprise(path, found.st_mode)
    return source, found


def _copy(source: int, into: int, path: str, expected: int) -> str:
    """Copy all there is and return its digest. Raises FailedError (COPY_SHRANK), OSError."""
    digest, copied = hashlib.sha256(), 0
    while piece := os.read(source, CHUNK):
        digest.update(piece)
        copied += len(piece)
        view = memoryview(piece)
        while view:
            view = view[os.write(into, view) :]
    if copied < expected:
        raise FailedError(
            f"{path} was {expected} bytes and ended after {copied}: somebody cut it meanwhile",
            hint="copy it again",
            code="COPY_SHRANK",
        )
    return digest.hexdigest()


def _tell(digest: str, path: str, *, aloud: bool) -> None:
    """Print the digest as sha256sum(1) does, where it does not mix with the file's bytes."""
    line = f"{digest}  {path}\n".encode(errors="backslashreplace")
    os.write(1 if aloud else 2, line)


def _settle() -> None:
    """Let an end by signal pass through our own end, which removes the scratch file."""
    hashlib.sha256()  # loads now what it would load from the host's files later

    def end(number: int, _frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


def _surprise(path: str, mode: int) -> ConflictError:
    kinds = {
        stat.S_IFDIR: "a directory",
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
    }
    kind = kinds.get(stat.S_IFMT(mode), "a device")
    hint = "name the file it leads to" if stat.S_ISLNK(mode) else "only files are copied"
    return ConflictError(f"{path} is {kind}", hint=hint, code="COPY_SURPRISE")


def _failed(path: str, error: OSError) -> SheltieError:
    if isinstance(error, FileNotFoundError):
        return NotFoundError(f"{path}: {error.strerror}", code="COPY_MISSING")
    return FailedError(f"{path}: {error.strerror}", code="COPY_FAILED")
