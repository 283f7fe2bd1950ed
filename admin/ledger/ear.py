"""The ledger's end of the listener: started, heard, told, and started anew when it ends."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

from admin.ledger.messages import FromListener, Sync, ToListener
from admin.sheltie import host
from admin.ssh.frame import Channel
from contract.errors import UsageError

__all__ = ["Ear"]

AGAIN_SECONDS = 2.0
AGAIN_MAX = 300.0
TURN_MAX = 20_000
"""Messages that are taken before anything else has its turn."""
BUFFER = 8 << 20
SO_RCVBUFFORCE = 33


class Ear:
    """The listener, `house` being the keeper's pid; `bounded` gives it the kernel's usual queue."""

    def __init__(self, house: int, *, bounded: bool = False) -> None:
        self._words = [str(house), host.__file__, *(["bounded"] if bounded else [])]
        self._channel: Channel[ToListener, FromListener] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._next = 0.0
        self._delay = AGAIN_SECONDS

    def fileno(self) -> int:
        """Return the descriptor to wait for, -1 while there is no listener."""
        return self._channel.fileno() if self._channel else -1

    def hear(self) -> Iterator[FromListener | None]:
        """Yield what the listener told; None when it has ended."""
        if self._channel is None:
            self._start()
            return
        for _ in range(TURN_MAX):
            try:
                received = self._channel.receive()
            except BlockingIOError:
                return
            except (OSError, UsageError):
                received = None
            if received is None:
                self._stop()
                yield None
                return
            yield received[0]

    def tell(self, message: ToListener) -> bool:
        """Send a message; whether there is a listener that takes it."""
        if self._channel is None:
            return False
        try:
            self._channel.send(message)
        except OSError:
            return False
        return True

    def sync(self, number: int) -> bool:
        """Ask for the answer `number`; whether it will come, if the listener lives."""
        return self.tell(Sync(number))

    def _start(self) -> None:
        if time.monotonic() < self._next:
            return
        now = time.monotonic()
        if now - self._next > AGAIN_MAX:
            self._delay = AGAIN_SECONDS  # the last one ran for long
        self._next, self._delay = now + self._delay, min(2 * self._delay, AGAIN_MAX)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        argv = [sys.executable, "-I", "-m", "admin.ledger.listener", str(theirs.fileno())]
        try:
            self._process = subprocess.Popen(
                [*argv, *self._words], stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
            )
        except OSError as error:
            ours.close()
            sys.stderr.write(f"ledger: the listener cannot be started: {error.strerror}\n")
            return
        finally:
            theirs.close()
        with contextlib.suppress(OSError):
            ours.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        ours.setblocking(False)  # noqa: FBT003  its only form
        self._channel = Channel(ours, FromListener)

    def _stop(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
