"""The monitor: accepts connections, holds the host keys, verifies, decides. No SSH library in it.

`python -I -m admin.ssh.monitor CHANNEL`: the descriptor of the keeper's pair. It ends when that
does, and takes listeners and sessions with it.
"""

import asyncio
import contextlib
import os
import pwd
import secrets
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec

from admin.ssh import hostkeys, setting
from admin.ssh.confine import end_with_parent
from admin.ssh.connection import Connection, House
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
from admin.ssh.hostkeys import HostKey
from admin.ssh.judge import Judge
from admin.ssh.keyscommand import AT_ONCE
from admin.ssh.limits import Gatekeeper, Outcome, Throttle
from admin.ssh.listening import listen
from admin.ssh.nursery import Nursery
from admin.ssh.policy import Entry, Policy
from admin.ssh.protocol import ListenerTask
from contract.errors import SheltieError, UsageError

__all__ = ["Monitor"]

LISTENER_USER = "sheltie-listener"
NOBODY = 65534
DICE = 1 << 30
SAME_SECONDS = 60.0
"""Between two lines that say the same of the keys command."""


class Monitor:
    """The state of the door."""

    def __init__(self, channel: "Channel[FromMonitor, ToMonitor]") -> None:
        self._loop = asyncio.get_running_loop()
        self._channel = channel
        self.done: asyncio.Future[None] = self._loop.create_future()
        self._setting: setting.Setting | None = None
        self._keys: dict[str, HostKey] = {}
        self._key_problems: list[str] = []
        self._listening: list[socket.socket] = []
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._gate: Gatekeeper | None = None
        self._throttle = Throttle(time.monotonic)
        self._last: dict[str, str] = {}
        self._failure = ("", 0.0)
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
        now = self._setting = setting.read(message)
        if self._gate is None:
            self._gate = Gatekeeper(now.limits, time.monotonic, _dice, now.exempt)
        self._gate.limits, self._gate.exempt = now.limits, now.exempt
        self._load_keys(Path(message.host_keys))
        if not self._listening:
            try:
                self._listening = listen(message.listen)
            except SheltieError as error:
                self._send(Failed(error.code, error.message))
                self._end()
                return
            for one in self._listening:
                self._loop.add_reader(one.fileno(), self._accept, one)
        addresses = [one.getsockname()[:2] for one in self._listening]
        texts = [key.text for key in self._keys.values() if not key.next]
        problems = [*now.problems, *self._key_problems]
        self._send(Ready(addresses, texts, problems, now.ways))

    def _load_keys(self, directory: Path) -> None:
        """Take up the host keys as they lie there now; make those that are missing."""
        loaded, problems = hostkeys.load(directory, time.time())
        for name in (hostkeys.ED25519, hostkeys.ECDSA):
            if name not in loaded and name in self._keys and not (directory / name).exists():
                loaded[name] = self._keys[name]  # it could not be stored
                problems += [each for each in self._key_problems if name in each]
            elif name not in loaded:
                loaded[name] = hostkeys.make(directory, name, problems)
        if hostkeys.RSA not in loaded and hostkeys.RSA in self._keys:
            loaded[hostkeys.RSA] = self._keys[hostkeys.RSA]
        elif hostkeys.RSA not in loaded:
            self._run(self._make_rsa(directory))
        order = {name: place for place, name in enumerate(hostkeys.NAMES)}
        self._keys = dict(sorted(loaded.items(), key=lambda one: order.get(one[0], len(order))))
        self._key_problems = problems

    async def _make_rsa(self, directory: Path) -> None:
        """Make the RSA key beside the work: its primes take up to seconds, and few ask for it."""
        problems: list[str] = []
        key = await asyncio.to_thread(hostkeys.make, directory, hostkeys.RSA, problems)
        self._keys.setdefault(hostkeys.RSA, key)
        self._send(Event("host-key", "", detail=key.text))
        self._key_problems += problems
        for problem in problems:
            self._send(Event("problem", "", detail=problem))

    def _accept(self, listening: socket.socket) -> None:
        try:
            peer, address = listening.accept()
        except OSError:
            return  # the peer was gone before we came
        gate, now = self._gate, self._setting
        assert gate is not None  # noqa: S101  both stand before we listen
        assert now is not None  # noqa: S101
        why = gate.admit(address[0])
        if why:
            peer.close()
            self._dropped(address[0], why)
            return
        keys = list(self._keys.values())
        judge = Judge(keys, self._policy, time.time, address[0], now.limits.tries)
        house = House(
            self._listeners,
            self._sessions,
            now.limits,
            self._send,
            self._more,
            lambda one: gate.logged_in(one.source),
            self._forget,
            self._last,
            now.forwarding,
        )
        try:
            connection = Connection(peer, judge, house, address[:2])
        except OSError as error:
            peer.close()
            gate.left(address[0], Outcome.LEFT)
            self._dropped(address[0], f"it left: {error.strerror}")
            return
        self._connections.add(connection)
        connection.start(self._task(keys, now))

    def _task(self, keys: Sequence[HostKey], now: setting.Setting) -> bytes:
        limits = now.limits
        offered = [one for key in keys for one in key.offers(now.algorithms.host_keys)]
        announced = [key.blob for key in keys]
        task = ListenerTask(
            offered, announced, now.algorithms, limits.grace, limits.keep_alive, limits.idle
        )
        return msgspec.msgpack.encode(task)

    def _policy(self) -> Policy:
        return self._setting.policy if self._setting else Policy("")

    def _more(self, blob: bytes) -> Awaitable[Sequence[Entry]] | None:
        """Ask the keys command, where there is one. Whoever asks, it is told the true user."""
        now = self._setting
        if now is None or now.command is None:
            return None
        return self._ask_command(now, blob)

    async def _ask_command(self, now: setting.Setting, blob: bytes) -> Sequence[Entry]:
        assert now.command is not None  # noqa: S101  asked before
        try:
            return await now.command.run(now.policy.user, blob, self._turns)
        except SheltieError as error:
            self._failed(error.message)
            return ()

    def _failed(self, why: str) -> None:
        """Tell why the keys command gave nothing: strangers make it run, and each time it fails."""
        now = self._loop.time()
        before, at = self._failure
        if why != before or now - at >= SAME_SECONDS:
            self._failure = why, now
            self._send(Event("problem", "", detail=why))

    def _forget(self, connection: Connection, outcome: Outcome, why: str) -> None:
        self._connections.discard(connection)
        if self._gate is not None:
            self._gate.left(connection.source, outcome)
        if outcome not in (Outcome.LOGGED_IN, Outcome.FAILED):
            self._dropped(connection.source, why)

    def _dropped(self, source: str, why: str) -> None:
        """Tell of a stranger that is gone: one line for each source and minute."""
        hidden = self._throttle.tell(source)
        if hidden is not None:
            more = f" (and {hidden} before)" if hidden else ""
            self._send(Event("dropped", source, detail=why + more))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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

    def drop_all(self) -> None:
        """Cut everybody off: what their forwards left in the file system goes with them."""
        for one in tuple(self._connections):
            one.drop("the server ends")

    def _end(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


def _dice() -> float:
    return secrets.randbelow(DICE) / DICE


def _listener_ids() -> tuple[str, str]:
    try:
        entry = pwd.getpwnam(LISTENER_USER)
    except KeyError:
        return str(NOBODY), str(NOBODY)
    return str(entry.pw_uid), str(entry.pw_gid)


async def _run(descriptor: int) -> None:
    end = socket.socket(fileno=descriptor)
    end.setblocking(False)  # noqa: FBT003  its only form
    monitor = Monitor(Channel(end, ToMonitor))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, monitor._end)  # noqa: SLF001  this module's own
    await monitor.done
    monitor.drop_all()
    # Now: the loop's own end would wait for a thread that still makes a key.
    os._exit(0)


def main(argv: list[str]) -> None:
    """Run the monitor on the keeper's channel."""
    os.umask(0o077)
    end_with_parent(signal.SIGTERM)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(int(argv[0])))


if __name__ == "__main__":
    main(sys.argv[1:])
