"""The monitor: accepts connections, holds the host keys, verifies, decides. No SSH library in it.

`python -I -m admin.ssh.monitor CHANNEL`: the descriptor of the keeper's pair. It ends when that
does, and takes listeners and sessions with it.
"""

import asyncio
import contextlib
import os
import pwd
import signal
import socket
import sys
from pathlib import Path

import msgspec

from admin.ssh.confine import end_with_parent
from admin.ssh.connection import Connection
from admin.ssh.control import (
    Configure,
    Event,
    Failed,
    FromMonitor,
    Ready,
    Status,
    StatusRequest,
    ToMonitor,
)
from admin.ssh.frame import Channel
from admin.ssh.hostkeys import HostKey, load_or_make
from admin.ssh.judge import Judge, Policy
from admin.ssh.nursery import Nursery
from contract.address import format_address
from contract.errors import MachineError, SheltieError, UsageError
from contract.keyline import KeyLine, parse_plain

__all__ = ["Monitor"]

VERSION = b"SSH-2.0-Sheltie"
GRACE_SECONDS = 120.0
"""OpenSSH's LoginGraceTime (sshd_config(5))."""
UNAUTHENTICATED_MAX = 100
"""Connections before login at once: OpenSSH's MaxStartups ends there too."""
BACKLOG = 128
LISTENER_USER = "sheltie-listener"
NOBODY = 65534


class Monitor:
    """The state of the door."""

    def __init__(self, channel: "Channel[FromMonitor, ToMonitor]") -> None:
        self._loop = asyncio.get_running_loop()
        self._channel = channel
        self.done: asyncio.Future[None] = self._loop.create_future()
        self._policy = Policy("", {})
        self._host_keys: list[HostKey] = []
        self._listening: list[socket.socket] = []
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._task = b""
        # Both load while the keeper still makes up its mind.
        self._listeners = Nursery("admin.ssh.listen_zygote", _listener_ids(), self._zygote_gone)
        self._sessions = Nursery("admin.session.zygote", (), self._zygote_gone)
        self._loop.add_reader(channel.fileno(), self._readable)

    def _readable(self) -> None:
        try:
            received = self._channel.receive()
        except BlockingIOError:
            return
        except (OSError, UsageError):
            received = None
        match received[0] if received else None:
            case Configure() as message:
                self._configure(message)
            case StatusRequest(number):
                shown = [one for each in self._connections for one in each.shown.values()]
                self._send(Status(number, shown, len(self._connections)))
            case None:
                self._end()

    def _configure(self, message: Configure) -> None:
        usable, problems = _usable(message.keys)
        self._policy = Policy.of(message.user, usable)
        if not os.geteuid() and not _exists(message.user):
            problems.append(f"the user {message.user} does not exist here: nobody can log in")
        if not self._listening:
            self._host_keys, more = load_or_make(Path(message.host_keys))
            problems += more
            keys = [(key.blob, list(key.algorithms)) for key in self._host_keys]
            self._task = msgspec.msgpack.encode({"keys": keys, "grace": GRACE_SECONDS})
            try:
                self._listen(message.listen)
            except SheltieError as error:
                self._send(Failed(error.code, error.message))
                self._end()
                return
        listen = [one.getsockname()[:2] for one in self._listening]
        self._send(Ready(listen, [key.text for key in self._host_keys], problems))

    def _listen(self, addresses: list[tuple[str, int]]) -> None:
        for host, port in addresses:
            for family, address in _families(host):
                one = socket.socket(family, socket.SOCK_STREAM)
                self._listening.append(one)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                try:
                    one.bind((address, port))
                    one.listen(BACKLOG)
                except OSError as error:
                    raise MachineError(
                        f"cannot listen on {format_address(address, port)}: {error.strerror}",
                        code="PORT_UNUSABLE",
                    ) from error
                one.setblocking(False)  # noqa: FBT003  its only form
        for one in self._listening:
            self._loop.add_reader(one.fileno(), self._accept, one)

    def _accept(self, listening: socket.socket) -> None:
        try:
            peer, _ = listening.accept()
        except OSError:
            return  # the peer was gone before we came
        waiting = sum(not one.authenticated for one in self._connections)
        if waiting >= UNAUTHENTICATED_MAX:
            peer.close()
            return
        judge = Judge(VERSION, self._host_keys, lambda: self._policy)
        try:
            connection = Connection(peer, judge, self._sessions, self._send, self._forget)
        except OSError:
            peer.close()
            return
        self._connections.add(connection)
        self._send(Event("opened", connection.address))
        task = self._loop.create_task(self._start(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start(self, connection: Connection) -> None:
        try:
            await connection.start(self._listeners, self._task, GRACE_SECONDS)
        except SheltieError as error:
            connection.drop(error.message)

    def _forget(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def _send(self, message: FromMonitor) -> None:
        try:
            self._channel.send(message)
        except BlockingIOError:
            return  # the keeper is behind; what it asks for it will ask again
        except OSError:
            self._end()

    def _zygote_gone(self, module: str) -> None:
        self._send(Failed("ZYGOTE_GONE", f"{module} ended"))
        self._end()

    def _end(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


def _usable(lines: list[str]) -> tuple[list[KeyLine], list[str]]:
    """Return the keys that may log in, and a sentence for each line that may not."""
    usable, problems = [], []
    for number, line in enumerate(lines, 1):
        try:
            usable.append(parse_plain(line))
        except SheltieError as error:
            problems.append(f"ssh.authorized-keys[{number}]: {error.message}: ignored")
    return usable, problems


def _families(host: str) -> list[tuple[socket.AddressFamily, str]]:
    if not host:
        both = [(socket.AF_INET, "0.0.0.0")]  # noqa: S104  upstream listens everywhere too
        return [*both, (socket.AF_INET6, "::")] if socket.has_ipv6 else both
    return [(socket.AF_INET6 if ":" in host else socket.AF_INET, host)]


def _listener_ids() -> tuple[str, str]:
    try:
        entry = pwd.getpwnam(LISTENER_USER)
    except KeyError:
        return str(NOBODY), str(NOBODY)
    return str(entry.pw_uid), str(entry.pw_gid)


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


async def _run(descriptor: int) -> None:
    end = socket.socket(fileno=descriptor)
    end.setblocking(False)  # noqa: FBT003  its only form
    monitor = Monitor(Channel(end, ToMonitor))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, monitor._end)  # noqa: SLF001  this module's own
    await monitor.done


def main(argv: list[str]) -> None:
    """Run the monitor on the keeper's channel."""
    os.umask(0o077)
    end_with_parent(signal.SIGTERM)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(int(argv[0])))


if __name__ == "__main__":
    main(sys.argv[1:])
