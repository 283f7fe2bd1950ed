"""One line on a terminal about what lasts: nothing for the first two seconds, nothing elsewhere."""

import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

__all__ = ["QUIET_SECONDS", "Progress"]

QUIET_SECONDS: Final = 2.0
_CLEAR: Final = "\r\x1b[K"


class Progress:
    """`with Progress("preparing") as progress: … progress.tick()`; the line goes at the end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._start = time.monotonic()
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()

    def tick(self, more: Callable[[], str] = str) -> None:
        """Show how long it has lasted, and what `more` tells; it is asked where it is shown."""
        seconds = time.monotonic() - self._start
        if seconds < QUIET_SECONDS or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
            return
        self._shown = True
        sys.stderr.write(f"{_CLEAR}{self._text}: {seconds:.0f} s{_behind(more())}")
        sys.stderr.flush()


def _behind(text: str) -> str:
    return f", {text}" if text else ""
