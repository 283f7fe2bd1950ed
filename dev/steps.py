"""The steps of a long job, told as they happen: one line each, with its time.

On a terminal the step that runs has a spinner (rich, imported only then); otherwise a line is
printed when it begins taking long, so that nobody looks at silence for more than two seconds.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TextIO

__all__ = ["Steps"]

PATIENCE_SECONDS = 2.0


@dataclass
class Steps:
    """Prints to `stream`; `total` holds the seconds since it was made."""

    stream: TextIO = field(default_factory=lambda: sys.stdout)
    started: float = field(default_factory=time.monotonic)

    @property
    def total(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.started

    def say(self, text: str) -> None:
        """Print a line of its own."""
        print(text, file=self.stream, flush=True)

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator["Note"]:
        """Run the body as a step: `ok` and its time, or `FAILED` and the error goes on."""
        note = Note()
        begun = time.monotonic()
        try:
            with self._waiting(text, note):
                yield note
        except BaseException:
            self.say(f"  FAILED {time.monotonic() - begun:7.2f} s  {text}")
            raise
        detail = f": {note.text}" if note.text else ""
        self.say(f"  ok     {time.monotonic() - begun:7.2f} s  {text}{detail}")

    def _waiting(self, text: str, note: "Note") -> contextlib.AbstractContextManager[object]:
        if self.stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
            return _spinner(text, note, self.stream)
        return _patience(text, note, self.stream)


class Note:
    """What a step says of itself: `text` at its end, `update` while it runs."""

    def __init__(self) -> None:
        self.text = ""
        self.doing = ""

    def update(self, doing: str) -> None:
        """Tell what the step is doing just now."""
        self.doing = doing


@contextlib.contextmanager
def _spinner(text: str, note: Note, stream: TextIO) -> Iterator[object]:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream)
    with console.status(Text(text), spinner="line") as status:
        forward = note.update

        def update(doing: str) -> None:
            forward(doing)
            status.update(Text(f"{text}: {doing}"))

        note.update = update  # type: ignore[method-assign]  # the spinner shows each word at once
        yield status


@contextlib.contextmanager
def _patience(text: str, note: Note, stream: TextIO) -> Iterator[object]:
    """Print what is being done each time two seconds went by and there is something new to say."""
    ended = threading.Event()
    told = {"": ""}

    def tell() -> None:
        while not ended.wait(PATIENCE_SECONDS):
            line = f"{text}: {note.doing}" if note.doing else text
            if told[""] != line:
                told[""] = line
                print(f"  ...               {line}", file=stream, flush=True)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield None
    finally:
        ended.set()
        teller.join()
