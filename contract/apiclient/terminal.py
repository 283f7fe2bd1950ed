"""The user's terminal during an exec: raw, and itself again whatever happens; and its signals."""

import contextlib
import os
import signal
import termios
import tty
from collections.abc import Iterator
from types import FrameType
from typing import Final

from contract.execwire import CELLS_MAX, Size

__all__ = ["is_terminal", "make_raw", "raw", "signals", "size"]

_WATCHED: Final = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGWINCH,
    signal.SIGCONT,
)


def is_terminal(fd: int) -> bool:
    """Whether `fd` is open on a terminal."""
    try:
        return os.isatty(fd)
    except OSError:
        return False


def size(fd: int) -> Size | None:
    """Return the size of terminal `fd`, None where there is none or it does not know."""
    try:
        found = os.get_terminal_size(fd)
    except OSError:
        return None
    if not 0 < found.lines <= CELLS_MAX or not 0 < found.columns <= CELLS_MAX:
        return None
    return Size(found.lines, found.columns)


def make_raw(fd: int) -> None:
    """Put terminal `fd` into raw mode; nothing typed is lost."""
    with contextlib.suppress(termios.error):  # the terminal may be gone
        tty.setraw(fd, termios.TCSADRAIN)


@contextlib.contextmanager
def raw(fd: int) -> Iterator[None]:
    """Put terminal `fd` into raw mode (cfmakeraw, termios(3)) and back."""
    before = termios.tcgetattr(fd)
    try:
        make_raw(fd)
        yield
    finally:
        with contextlib.suppress(termios.error):  # the terminal may be gone
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


@contextlib.contextmanager
def signals() -> Iterator[int]:
    """Give a descriptor that yields the numbers of signals, a byte each, instead of their action.

    For the main thread only (signal.set_wakeup_fd).
    """
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    former = {number: signal.signal(number, _note) for number in _WATCHED}
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in former.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


def _note(_number: int, _frame: FrameType | None) -> None:
    """Do nothing here: the wake-up descriptor tells the loop."""
