"""Sockets for forwards: a process for each request, as the login user, that hands them over.

Names are looked up, connections opened and ports listened on here, not by the monitor: as nobody
but the login user, and where a slow answer holds nobody up. It ends when the monitor hangs up.
"""

import contextlib
import select
import signal
import socket
from collections.abc import Sequence

import msgspec

from admin.session import account
from admin.ssh.confine import drop_privileges
from admin.ssh.frame import Channel

__all__ = [
    "Attend",
    "AttendAgent",
    "Came",
    "Carried",
    "Failed",
    "Reach",
    "Reached",
    "Stands",
    "carry",
]

ADDRESS_SECONDS = 8
"""For each address of a name; the monitor waits a little longer than for two."""
BACKLOG = 16
LOOPBACKS = ("127.0.0.1", "::1")
"""Where ports are listened on, whatever is asked for: never beyond this machine."""


class Reach(msgspec.Struct, tag=True, frozen=True):
    """Connect as `user`; answered by Reached with the connected socket, or Failed."""

    user: str
    host: str
    port: int


class Attend(msgspec.Struct, tag=True, frozen=True):
    """Listen as `user`; answered by Stands, then Came for each connection, or Failed."""

    user: str
    host: str
    port: int


class AttendAgent(msgspec.Struct, tag=True, frozen=True):
    """Listen as `user` on a socket in the file system, in a directory that is theirs."""

    user: str
    path: str


class Reached(msgspec.Struct, tag=True, frozen=True):
    """It stands: with it comes the socket."""


class Failed(msgspec.Struct, tag=True, frozen=True):
    """It was tried in vain."""

    why: str


class Stands(msgspec.Struct, tag=True, frozen=True):
    """It listens; `port` is the one that was found free where any was asked for."""

    port: int = 0


class Came(msgspec.Struct, tag=True, frozen=True):
    """Somebody connected: with it comes the socket."""

    host: str = ""
    port: int = 0


Carried = Reached | Failed | Stands | Came


def carry(told: Reach | Attend | AttendAgent, descriptors: Sequence[int]) -> int:
    """Do what is told; the descriptor is the monitor's channel."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    end = socket.socket(fileno=descriptors[0])
    channel: Channel[Carried, Carried] = Channel(end, Carried)
    login = account.find(told.user)
    drop_privileges(login.uid, login.gid)
    with contextlib.suppress(BrokenPipeError):  # the monitor wants no answer any more
        try:
            _do(told, channel)
        except OSError as error:
            channel.send(Failed(error.strerror or str(error)))
    return 0


def _do(told: Reach | Attend | AttendAgent, channel: "Channel[Carried, Carried]") -> None:
    match told:
        case Reach(_, host, port):
            with socket.create_connection((host, port), ADDRESS_SECONDS) as made:
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                channel.send(Reached(), [made.fileno()])
        case Attend(_, host, port):
            _attend(_listen(host, port), channel)
        case AttendAgent(_, path):
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(path)  # the umask lets nobody else connect
            listening.listen(BACKLOG)
            _attend([listening], channel)


def _listen(host: str, port: int) -> list[socket.socket]:
    """Listen on loopback, on one port of both families where the machine has both."""
    found: list[socket.socket] = []
    for address in (host,) if host in LOOPBACKS else LOOPBACKS:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            one = socket.create_server((address, port), family=family, backlog=BACKLOG)
        except OSError:
            if not found:
                raise
            continue
        found.append(one)
        port = one.getsockname()[1]
    return found


def _attend(listening: Sequence[socket.socket], channel: "Channel[Carried, Carried]") -> None:
    first = listening[0].getsockname()
    channel.send(Stands(first[1] if isinstance(first, tuple) else 0))
    poll = select.poll()
    by_number = {one.fileno(): one for one in listening}
    for one in listening:
        one.setblocking(False)  # noqa: FBT003  its only form
    for number in (*by_number, channel.fileno()):
        poll.register(number, select.POLLIN)
    while True:
        ready = [number for number, _ in poll.poll()]
        if channel.fileno() in ready:
            return  # the monitor hung up
        for number in ready:
            _accept(by_number[number], channel)


def _accept(listening: socket.socket, channel: "Channel[Carried, Carried]") -> None:
    try:
        peer, address = listening.accept()
    except OSError:
        return  # it left before we came
    with peer:
        came = Came(*address[:2]) if isinstance(address, tuple) else Came()
        channel.send(came, [peer.fileno()])
