"""One console, from its prompt to the end of its session: a fresh process each time.

`python -I -m admin.console.attend CHANNEL CONSOLE USER`. It waits until nobody else attends the
console, runs agetty, which runs login(1), and tells the keeper what PAM says. When the login ends,
all that it started ends with it, as with a session over SSH.
"""

import contextlib
import fcntl
import os
import secrets
import signal
import socket
import stat
import sys
from pathlib import Path

import msgspec

from admin.console.plan import Console
from admin.console.told import place
from admin.end import deputies
from admin.end.ending import end
from admin.end.marks import Marks
from admin.session import account, touch
from admin.session.pump import Pump
from admin.session.reaper import Reaper
from admin.ssh.confine import end_with_parent
from admin.ssh.frame import Channel
from contract.places import HOST_ROOT

__all__ = ["Attending", "Told"]

AGETTY = "/sbin/agetty"
NOT_EXECUTABLE = 126
WORD_MAX = 256


class Told(msgspec.Struct, tag=True, frozen=True):
    """What happened at a console: `open`, `close` or `refused`, the user, the session's name."""

    what: str
    user: str
    session: str = ""


class Attending:
    """One turn at a console."""

    def __init__(self, console: Console, user: str, channel: "Channel[Told, Told]") -> None:
        self._console, self._user, self._channel = console, user, channel
        self._reaper = Reaper()
        self._pump = Pump()
        self._name = secrets.token_hex(4)
        self._open = ""
        self._unwanted = False
        device = Path("/dev", console.name)
        place(str(device)).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        place(str(device)).unlink(missing_ok=True)
        self._told.bind(str(place(str(device))))
        self._told.setblocking(False)  # noqa: FBT003  its only form

    def run(self) -> None:
        """Attend until the login is over, or nobody wants it any more."""
        self._reaper.listen()
        marks, since = Marks.make(account.find(self._user).uid, self._name), deputies.now()
        with marks.inside():
            pid = os.fork()
            if not pid:
                _become(self._console)
        self._reaper.watch(pid)
        self._pump.watch(self._reaper.fileno(), self._reaper.collect)
        self._pump.watch(self._told.fileno(), self._hear)
        self._pump.watch(self._channel.fileno(), self._dismissed)
        while self._reaper.status is None and not self._reaper.asked:
            if self._unwanted and not self._open:
                break
            self._pump.turn(None)
        self._hear()
        for one in end(marks):
            sys.stderr.write(f"console {self._console.name}: CANNOT BE ENDED: {one.name}\n")
        for deputy in deputies.since(since):
            sys.stderr.write(f"console {self._console.name}: {deputy.line()}\n")
        if self._open:
            self._tell(Told("close", self._open, self._name))

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while word := self._told.recv(WORD_MAX):
                what, _, user = word.decode(errors="replace").partition(" ")
                if what == "open":
                    self._open = user
                    touch.tell()
                elif what == "close":
                    self._open = ""
                self._tell(Told(what, user, self._name))

    def _dismissed(self) -> None:
        """The keeper hung up: whoever is logged in may stay until they leave."""
        self._pump.forget(self._channel.fileno())
        self._unwanted = True

    def _tell(self, message: Told) -> None:
        with contextlib.suppress(OSError):  # the keeper is gone, or hung up
            self._channel.send(message)


def node(name: str, root: Path = Path(HOST_ROOT), here: Path = Path("/dev")) -> Path:
    """Return a console's device of the container's own, made like the host's. Raises OSError."""
    device = here / name
    if not device.exists():
        wanted = (root / "dev" / name).stat()
        os.mknod(device, stat.S_IFCHR | 0o600, wanted.st_rdev)
    return device


def held(device: Path) -> int:
    """Wait until nobody else attends the console; whoever holds the descriptor does.

    The lock is on the host's own node: the host's image looks there. Raises OSError.
    """
    descriptor = os.open(device, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _become(console: Console) -> None:
    """Become agetty, which makes the console its controlling terminal."""
    try:
        os.setsid()
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.umask(0o022)
        argv = console.argv(AGETTY)
        os.execve(AGETTY, argv, {"PATH": account.PATH, "LANG": "C.UTF-8"})  # noqa: S606
    except OSError as error:
        os.write(2, f"console: {AGETTY}: {error.strerror}\n".encode())
    finally:
        os._exit(NOT_EXECUTABLE)


def main(argv: list[str]) -> None:
    """Attend a console once."""
    descriptor, name, user = argv
    os.umask(0o077)
    end_with_parent(signal.SIGTERM)
    console = Console(name)
    theirs = Path(HOST_ROOT, "dev", name)
    device = node(name)
    lock = held(theirs if theirs.exists() else device)
    Attending(console, user, Channel(socket.socket(fileno=int(descriptor)), Told)).run()
    os.close(lock)


if __name__ == "__main__":
    main(sys.argv[1:])
