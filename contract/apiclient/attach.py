"""A command in a container on this process's own standard input and output."""

import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from contract.apiclient import terminal
from contract.apiclient.channel import Channel
from contract.apiclient.conversation import Alarm, Conversation
from contract.apiclient.ends import FileSink, FileSource
from contract.execwire import INPUT_MAX, Initialize

__all__ = ["attach"]

STDIN: Final = 0
STDOUT: Final = 1
TTY_PIECE: Final = 1
"""Bytes in an input message with a terminal, as upstream's client sends."""


def attach(path: str, target: str, argv: Sequence[bytes], *, tty: bool | None = None) -> int:
    """Run `argv` in container `target` on stdin and stdout; return its exit status.

    `tty` None asks for a terminal where stdin and stdout both are one. A signal that ends us gives
    128+n, and output that nobody reads any more 128+13 (SIGPIPE). Raises SheltieError.
    """
    both = terminal.is_terminal(STDIN) and terminal.is_terminal(STDOUT)
    wanted = both if tty is None else tty
    request = Initialize(tuple(argv), target, wanted, terminal.size(STDOUT) if wanted else None)
    with contextlib.ExitStack() as stack:
        channel = Channel.open(path)
        stack.callback(channel.say_goodbye)
        incoming = stack.enter_context(terminal.signals())
        piece = TTY_PIECE if wanted else INPUT_MAX
        talk = Conversation(channel, FileSource(STDIN), FileSink(STDOUT), piece)
        is_raw = wanted and terminal.is_terminal(STDIN)
        if is_raw:
            stack.enter_context(terminal.raw(STDIN))
        talk.alarm = Alarm(incoming, _Signals(incoming, talk, is_raw=is_raw).act)
        try:
            return talk.run(request)
        except BrokenPipeError:
            return 128 + signal.SIGPIPE


@dataclass
class _Signals:
    """What signals mean for a conversation."""

    fd: int
    talk: Conversation
    is_raw: bool

    def act(self) -> int | None:
        """Handle what came; return the exit status of a signal that ends us."""
        for number in os.read(self.fd, 512):
            match number:
                case signal.SIGWINCH:
                    self._resize()
                case signal.SIGCONT:
                    # A shell that stopped us took its terminal back as it likes it.
                    if self.is_raw:
                        terminal.make_raw(STDIN)
                        self._resize()
                case _:
                    return 128 + number
        return None

    def _resize(self) -> None:
        size = terminal.size(STDOUT) if self.is_raw else None
        if size is not None:
            self.talk.resize(size)
