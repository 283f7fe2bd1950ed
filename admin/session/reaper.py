"""The children of a session process: the program's end, orphans reaped, and the wish to end."""

import contextlib
import os
import signal

__all__ = ["Reaper"]

PIECE = 4096


class Reaper:
    """Reaps all the while; a subreaper gets every orphan of the session.

    The descriptor is readable when there is something to collect.
    """

    def __init__(self) -> None:
        self._told, self._tell = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._pid = 0
        self.status: int | None = None
        """The program's wait status, once it ended."""
        self.asked = False
        """Whether somebody wants the session to end."""

    def listen(self) -> None:
        """Catch the signals from here on."""
        signal.set_wakeup_fd(self._tell, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, _noted)

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._told

    def watch(self, pid: int) -> None:
        """Keep the status of child `pid`, the program."""
        self._pid = pid

    def collect(self) -> None:
        """Take note of what happened, and reap."""
        with contextlib.suppress(BlockingIOError):
            self.asked |= signal.SIGTERM in os.read(self._told, PIECE)
        with contextlib.suppress(ChildProcessError):  # none left
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._pid:
                    self.status = ended[1]


def _noted(_number: int, _frame: object) -> None:
    """Do nothing: the number went to the descriptor."""
