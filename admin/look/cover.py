"""What a look covers: secrets by an empty file or directory, and the two files that name users."""

from __future__ import annotations

import errno
import os
from stat import S_IFCHR, S_ISDIR

from admin.look import kernel, masks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from admin.look.mounts import Table

__all__ = ["Cover", "expand", "secrets", "swap_files"]

FILE_MAX = 1 << 20
NSSWITCH = "".join(f"{base}: files\n" for base in ("passwd", "group", "shadow", "hosts"))
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Cover:
    """Empty things on a file system that only we see, to be bound over what is covered."""

    def __init__(self, place: str) -> None:
        """Make them in `place`, which is empty and ours."""
        self._place = place
        os.mkdir(f"{place}/directory", 0o000)  # noqa: PTH102  pathlib costs 10 ms
        # A device, not an empty file: where devices do not open, "permission denied" is the answer.
        os.mknod(f"{place}/file", S_IFCHR)

    def over(self, path: str) -> None:
        """Cover what `path` leads to. Raises OSError unless that is not there."""
        try:
            kind = "directory" if S_ISDIR(os.stat(path).st_mode) else "file"  # noqa: PTH116  likewise
            kernel.bind(f"{self._place}/{kind}", path)
        except OSError as error:
            if error.errno not in GONE:
                raise

    def name_user(self, name: str, uid: int, home: str) -> None:
        """Give the uid a name, and let nothing but files be asked for names.

        A static shell that asked the host's user database would load the host's modules, and die.
        """
        try:
            users = _read("/etc/passwd")
        except FileNotFoundError:
            users = b""
        line = f"{name}:x:{uid}:{uid}:sheltie --look:{home}:/bin/sh\n".encode()
        if users and not users.endswith(b"\n"):
            users += b"\n"
        self._replace("/etc/passwd", users + line)
        self._replace("/etc/nsswitch.conf", NSSWITCH.encode())

    def close(self) -> None:
        """Take the names away; what is bound stays."""
        for name in os.listdir(self._place):  # noqa: PTH208  pathlib costs 10 ms
            if name == "directory":
                os.rmdir(f"{self._place}/{name}")  # noqa: PTH106  likewise
            else:
                os.unlink(f"{self._place}/{name}")  # noqa: PTH108  likewise
        os.rmdir(self._place)  # noqa: PTH106  likewise

    def _replace(self, path: str, content: bytes) -> None:
        name = path.rpartition("/")[2]
        self._write(name, content, 0o444)
        try:
            kernel.bind(f"{self._place}/{name}", path)
        except OSError as error:
            if error.errno not in GONE:
                raise

    def _write(self, name: str, content: bytes, mode: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(f"{self._place}/{name}", flags, mode)
        try:
            os.fchmod(descriptor, mode)
            written = os.write(descriptor, content) if content else 0
        finally:
            os.close(descriptor)
        if written < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def secrets(table: Table, state: str, more: Iterable[str]) -> Iterator[str]:
    """Yield every path that shows a secret, by whatever mount."""
    below = [f"{base}/{name}" for base in {state, masks.STATE} for name in masks.STATE_SECRETS]
    seen: set[str] = set()
    for pattern in (*masks.SECRETS, *below, *more, *swap_files()):
        for path in expand(pattern, table):
            real = os.path.realpath(path)
            if table.may_hang(real):
                continue
            for place in (real, *table.showing(*table.inner(real))):
                if place not in seen:
                    seen.add(place)
                    yield place


def expand(pattern: str, table: Table) -> list[str]:
    """Return the existing paths that match; a component holds at most one `*`, or ends in `[0-9]*`.

    Nothing is asked of a file system whose server may be gone.
    """
    found = [""]
    for part in pattern.split("/")[1:]:
        if "*" not in part:
            found = [f"{path}/{part}" for path in found]
            continue
        before, after = part.split("*")
        digit = before.endswith("[0-9]")
        before = before.removesuffix("[0-9]")
        found = [
            f"{path}/{name}"
            for path in found
            if not table.may_hang(path or "/")
            for name in _names(path or "/")
            if len(name) >= len(before) + len(after)
            and name.startswith(before)
            and name.endswith(after)
            and (not digit or name[len(before) : len(before) + 1].isdigit())
        ]
    return [path for path in found if not table.may_hang(path) and os.path.lexists(path)]


def swap_files() -> list[str]:
    """Return the host's swap files (proc(5)); partitions are devices, which a look does not get."""
    try:
        lines = _read("/proc/swaps").decode(errors="replace").splitlines()[1:]
    except FileNotFoundError:
        return []
    rows = [line.split() for line in lines]
    return [row[0] for row in rows if row[1:2] == ["file"] and "*" not in row[0]]


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208  pathlib costs 10 ms
    except OSError:
        return []


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(descriptor, FILE_MAX)
        while len(data) < FILE_MAX and (more := os.read(descriptor, FILE_MAX - len(data))):
            data += more
        return data
    finally:
        os.close(descriptor)
