"""A container's log file: its last lines, and what comes, also when conmon begins it anew."""

import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Final

from contract.errors import NotFoundError
from host.logs.notices import Notices

__all__ = ["check", "lines"]

_BLOCK: Final = 64 << 10


def check(path: Path, name: str) -> None:
    """Raise NotFoundError (LOG_MISSING) where container `name` has no log."""
    if not path.exists():
        raise NotFoundError(f"container '{name}' has written no log yet", code="LOG_MISSING")


async def lines(path: Path, tail: int, *, wait: bool) -> AsyncGenerator[bytes, None]:
    """Yield the last `tail` lines of the log in blocks; with `wait` also what is added later.

    What the file has too few of is taken from the part before the last turn, which lies beside it.
    Raises OSError.
    """
    with Notices(path.parent) if wait else nullcontext() as notices:
        descriptor = _opened(path)
        try:
            position, missing = _start_of_tail(descriptor, tail)
            if missing:
                for data in _last_lines(path.with_name(f"{path.name}.1"), missing):
                    yield data
            while True:
                while descriptor >= 0 and (data := os.pread(descriptor, _BLOCK, position)):
                    position += len(data)
                    yield data
                if notices is None:
                    return
                if _replaced(path, descriptor, position):
                    # conmon renames a new file over one that is full: the old one is read out now.
                    if descriptor >= 0:
                        os.close(descriptor)
                    descriptor, position = _opened(path), 0
                    if descriptor >= 0:
                        continue
                await notices.changed()
        finally:
            if descriptor >= 0:
                os.close(descriptor)


def _opened(path: Path) -> int:
    """Return a descriptor of the file, -1 where there is none."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return -1


def _replaced(path: Path, descriptor: int, position: int) -> bool:
    if descriptor < 0:
        return True
    try:
        there = path.stat()
    except FileNotFoundError:
        return False  # the next one is on its way
    ours = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino) or ours.st_size < position


def _last_lines(path: Path, tail: int) -> Iterator[bytes]:
    """Yield the last `tail` lines of a file that nobody writes to any more."""
    descriptor = _opened(path)
    if descriptor < 0:
        return
    try:
        position, _ = _start_of_tail(descriptor, tail)
        while data := os.pread(descriptor, _BLOCK, position):
            position += len(data)
            yield data
    finally:
        os.close(descriptor)


def _start_of_tail(descriptor: int, tail: int) -> tuple[int, int]:
    """Return where the last `tail` lines begin, and how many of them the file does not have."""
    if descriptor < 0:
        return 0, tail
    end = position = os.fstat(descriptor).st_size
    if tail == 0:
        return end, 0
    missing = tail
    while position > 0:
        start = max(position - _BLOCK, 0)
        block = os.pread(descriptor, position - start, start)
        # The newline at the very end closes the last line: it begins none.
        at = len(block) - 1 if position == end else len(block)
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            missing -= 1
            if missing == 0:
                return start + at + 1, 0
        position = start
    return 0, missing - bool(end)
