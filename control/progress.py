"""What is being waited for, told on stderr once it takes longer than people like to wait.

A spinner on a terminal (rich, imported only then), else a line for each new word.
"""

import contextlib
import os
import sys
import time
from types import TracebackType
from typing import Final, Self

__all__ = ["Progress"]

PATIENCE_SECONDS: Final = 2.0


class Progress(contextlib.AbstractContextManager["Progress"]):
    """Tells words about `title`; silent at first."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._begun = time.monotonic()
        self._told = ""
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def tell(self, words: str) -> None:
        """Say what is being waited for."""
        if words == self._told or time.monotonic() - self._begun < PATIENCE_SECONDS:
            return
        self._told = words
        line = f"{self._title}: {words}"
        if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
            self._spin(line)
        else:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    def _spin(self, line: str) -> None:
        from rich.console import Console
        from rich.text import Text

        self._stack.close()
        console = Console(stderr=True)
        self._stack.enter_context(console.status(Text(line), spinner="line"))
