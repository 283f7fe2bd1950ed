"""A child on our own terminal or pipes, waited for: where it must be another process than we.

Nobody but a child can be in a foreign pid namespace; and what an engine of the host's answers has
to be read by somebody.
"""

from __future__ import annotations

import os
import select
import signal
import time

from admin.sheltie import kernel
from contract.errors import FailedError, TimedOutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

__all__ = ["answer", "run"]

PASSED_ON = (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT)
KEYS = (signal.SIGINT, signal.SIGQUIT)
"""The terminal sends these to the child as well."""
ANSWER_SECONDS = 10
ANSWER_MAX = 1 << 16


def run(become: Callable[[], NoReturn]) -> int:
    """Run `become` in a child that stops, goes on and ends with us; return its wait status."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (*PASSED_ON, *KEYS))
    asked_for = {number: signal.getsignal(number) for number in (*PASSED_ON, *KEYS)}
    ours = os.getpid()
    child = os.fork()
    if not child:
        try:
            kernel.die_with_parent(signal.SIGKILL, ours)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            become()
        finally:
            os._exit(1)
    on_terminal = os.isatty(0)

    def pass_on(number: int, _frame: object) -> None:
        if number not in KEYS or not on_terminal:
            os.kill(child, number)

    for number, before_us in asked_for.items():
        if before_us is not signal.SIG_IGN:
            signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    while True:
        _, status = os.waitpid(child, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return status
        signal.raise_signal(signal.SIGSTOP)
        os.kill(child, signal.SIGCONT)


def answer(become: Callable[[], NoReturn]) -> tuple[int, bytes]:
    """Return (exit status, standard output) of `become` in a child, which reads and says nothing.

    Raises TimedOutError (ENGINE_SILENT), FailedError (ENGINE_TALKS).
    """
    (ours, theirs), nothing = os.pipe(), os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    child = os.fork()
    if not child:
        try:
            for target, source in enumerate((nothing, theirs, nothing)):
                os.dup2(source, target)
            become()
        finally:
            os._exit(127)
    os.close(theirs)
    os.close(nothing)
    try:
        said = _read(ours)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    finally:
        os.close(ours)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def _read(pipe: int) -> bytes:
    said = b""
    deadline = time.monotonic() + ANSWER_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([pipe], [], [], left)[0]:
            break
        piece = os.read(pipe, ANSWER_MAX)
        if not piece:
            return said
        said += piece
        if len(said) > ANSWER_MAX:
            raise FailedError("the host's container engine answers too much", code="ENGINE_TALKS")
    raise TimedOutError(
        f"the host's container engine does not answer within {ANSWER_SECONDS} s",
        hint="find the process with `sheltie ps -e` and take --target PID",
        code="ENGINE_SILENT",
    )
