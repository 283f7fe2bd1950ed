"""What a listener does for a peer, done once before there is any: in its zygote, with itself.

A child copies each page that it writes, and a process that does something for the first time writes
much that lasts: lazy imports, tables, caches, the interpreter's own notes in the code. After this
they lie in pages that all children share.

Nothing of it is secret, and nothing is left of it: both keys are made here and thrown away, no
descriptor stays open, and whatever a child draws at random it draws anew (a test compares).
"""

import asyncio
import gc
import hashlib
import os
import socket
from collections.abc import Sequence
from typing import Any, Self

import asyncssh
from asyncssh.connection import SSHClientConnection, SSHClientConnectionOptions
from asyncssh.packet import String

from admin.ssh.algorithms import PROFILES
from admin.ssh.ask import Monitor
from admin.ssh.frame import Channel
from admin.ssh.protocol import (
    VERSION,
    Ask,
    Ask_,
    Exchange,
    Exited,
    Grant,
    Granted,
    ListenerTask,
    OfferedKey,
    Proof,
    Signed,
    ToSession,
    Verdict,
)
from admin.ssh.seccomp import program
from admin.ssh.server import Connection, HostKey, Prepared

__all__ = ["rehearse"]

KEY = "ssh-ed25519"
WAYS = (
    ("mlkem768x25519-sha256", "chacha20-poly1305@openssh.com"),
    ("curve25519-sha256", "aes256-gcm@openssh.com"),
)
"""Key exchange and cipher: what current clients choose, and those before them."""
ROUNDS = 4
"""From some eight runs on the interpreter leaves a function's code as it is."""
SECONDS = 10


def rehearse() -> None:
    """Assemble the filter, and log in to ourselves by each way, with and without a terminal."""
    program(os.uname().machine)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(asyncio.wait_for(_all(loop), SECONDS))
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    gc.collect()


async def _all(loop: asyncio.AbstractEventLoop) -> None:
    host, user = (asyncssh.generate_private_key(KEY) for _ in range(2))
    for _ in range(ROUNDS):
        for kex, cipher in WAYS:
            await _once(loop, host, user, kex, cipher)


async def _once(
    loop: asyncio.AbstractEventLoop,
    host: asyncssh.SSHKey,
    user: asyncssh.SSHKey,
    kex: str,
    cipher: str,
) -> None:
    peer, ours = socket.socketpair()
    for one in (peer, ours):
        one.setblocking(False)  # noqa: FBT003  its only form
    ours.send(VERSION + b"\r\n")  # as the monitor does
    task = ListenerTask(
        [OfferedKey(host.public_data, [KEY], [KEY])], [host.public_data], PROFILES["default"], 0
    )
    with _Prompter(host) as channel:
        prepared = Prepared(task)
        prepared.monitor = monitor = Monitor(channel, loop)
        prepared.closed = closed = loop.create_future()
        await loop.connect_accepted_socket(lambda: Connection(loop, prepared, monitor), ours)
        await _visit(loop, peer, _Guest(loop, _wishes(user, kex, cipher), prepared.keys))
        await closed
        loop.remove_reader(channel.fileno())


def _wishes(user: asyncssh.SSHKey, kex: str, cipher: str) -> SSHClientConnectionOptions:
    return SSHClientConnectionOptions(
        config=None,
        host="rehearsal",
        username="rehearsal",
        known_hosts=None,
        x509_trusted_certs=None,
        x509_trusted_cert_paths=[],
        client_keys=[user],
        agent_path=None,
        kex_algs=[kex],
        encryption_algs=[cipher],
        server_host_key_algs=[KEY],
        preferred_auth="publickey",
    )


class _Guest(SSHClientConnection):
    """The client. What `take_over` made of key exchanges holds for it too."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        made: SSHClientConnectionOptions,
        keys: Sequence[HostKey],
    ) -> None:
        made.waiter = self.welcome = loop.create_future()
        super().__init__(loop, made, wait="auth")
        self.keys, self.monitor = keys, self

    def exchange(self, **fields: Any) -> Signed:
        """Hash, as the monitor would for a listener."""
        data = fields["prefix"] + String(fields["key"]) + fields["rest"]
        return Signed(0, hashlib.new(fields["hash"], data).digest(), b"")


async def _visit(loop: asyncio.AbstractEventLoop, peer: socket.socket, client: _Guest) -> None:
    """Log in, run a command, then type something at a terminal."""
    await loop.connect_accepted_socket(lambda: client, peer)
    await client.welcome
    for term in (None, "xterm"):
        channel, _ = await client.create_session(
            asyncssh.SSHClientSession,
            "true",
            env={"LANG": "C.UTF-8"},
            encoding=None,
            term_type=term,
            term_size=(80, 24) if term else None,
            x11_forwarding=False,
        )
        channel.write(b"x")
        channel.write_eof()
        await channel.wait_closed()
    client.close()
    await client.wait_closed()


class _Prompter(Channel[Ask_, Grant]):
    """The listener's end of a channel to a monitor that grants all, and answers before it is read.

    It plays the session too: some output and a status, there before anybody asks.
    """

    def __init__(self, host: asyncssh.SSHKey) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        super().__init__(ours, Grant)
        self._host = host
        self._monitor: Channel[Grant, Ask_] = Channel(theirs, Ask_)
        self._sessions: list[Channel[Exited, ToSession]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        ends: list[Channel[Any, Any]] = [self, self._monitor, *self._sessions]
        for one in ends:
            one.close()

    def send(self, message: Ask_, descriptors: Any = ()) -> None:
        """Send, and answer."""
        super().send(message, descriptors)
        received = self._monitor.receive()
        match received[0] if received else None:
            case Exchange(number, name, _, key, prefix, rest):
                digest = hashlib.new(name, prefix + String(key) + rest).digest()
                signature = self._host.sign(digest, KEY.encode())
                self._monitor.send(Signed(number, digest, signature))
            case Proof(number):
                self._monitor.send(Verdict(number, accepted=True))
            case Ask(number):
                self._grant(number)

    def _grant(self, number: int) -> None:
        stream, errors = socket.socketpair(), socket.socketpair()
        control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        session: Channel[Exited, ToSession] = Channel(control[1], ToSession)
        self._sessions.append(session)
        stream[1].send(b"out")
        errors[1].send(b"err")
        session.send(Exited())
        outer = [pair[0] for pair in (stream, errors, control)]
        self._monitor.send(Granted(number), [one.fileno() for one in outer])
        for one in (*outer, stream[1], errors[1]):
            one.close()
