"""The process that faces one peer: it speaks SSH, and holds nothing worth taking.

asyncssh by subclassing (hooks and their stability are held by a guard test). Authentication goes to
the monitor as a whole, before the library judges anything; the library is given no keys of users.
"""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import asyncssh
import msgspec
from asyncssh import kex_dh
from asyncssh.connection import SSHServerConnection, SSHServerConnectionOptions
from asyncssh.public_key import SSHKeyPair

from admin.ssh.ask import Monitor
from admin.ssh.frame import Channel
from admin.ssh.protocol import Grant
from admin.ssh.relay import Gate, Relay
from contract.errors import SheltieError

__all__ = ["VERSION", "Task", "work"]

VERSION = "Sheltie"
"""What the version line names: no release number, which helps attackers more than anybody."""
KEX = (
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
)
CIPHERS = (
    "chacha20-poly1305@openssh.com",
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")
SIGNATURES = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
KEEPALIVE_SECONDS = 60


class Task(msgspec.Struct, frozen=True):
    """What a listener is told: the public host keys with their algorithms, and the grace time."""

    keys: list[tuple[bytes, list[str]]]
    grace: float


def work(task: bytes, descriptors: Sequence[int]) -> int:
    """Serve one connection: descriptors are the peer's socket and the monitor's channel."""
    told = msgspec.msgpack.decode(task, type=Task)
    peer, monitor = (socket.socket(fileno=number) for number in descriptors)
    asyncio.run(_serve(told, peer, monitor))
    return 0


async def _serve(task: Task, peer: socket.socket, channel: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ends: Channel[Any, Any] = Channel(channel, Grant)
    monitor = Monitor(ends, loop)
    closed: asyncio.Future[str] = loop.create_future()
    keys = [_HostKey(blob, algorithms) for blob, algorithms in task.keys]
    options = _options(monitor, keys, task.grace, closed)
    peer.setblocking(False)  # noqa: FBT003  its only form
    transport, _ = await loop.connect_accepted_socket(
        lambda: _Connection(loop, options, monitor, keys), peer
    )
    await asyncio.wait([closed, monitor.gone], return_when=asyncio.FIRST_COMPLETED)
    transport.abort()
    monitor.ended(closed.result() if closed.done() else "the monitor is gone")


def _options(
    monitor: Monitor, keys: list["_HostKey"], grace: float, closed: "asyncio.Future[str]"
) -> SSHServerConnectionOptions:
    return SSHServerConnectionOptions(
        config=None,
        server_factory=lambda: _Door(monitor, closed),
        server_host_keys=keys,
        server_version=VERSION,
        kex_algs=KEX,
        encryption_algs=CIPHERS,
        mac_algs=MACS,
        compression_algs=["none"],
        signature_algs=SIGNATURES,
        authorized_client_keys=None,
        public_key_auth=True,
        password_auth=False,
        kbdint_auth=False,
        host_based_auth=False,
        gss_host=None,
        agent_forwarding=False,
        x11_forwarding=False,
        line_editor=False,
        allow_scp=False,
        sftp_factory=None,
        encoding=None,
        login_timeout=grace,
        keepalive_interval=KEEPALIVE_SECONDS,
    )


class _HostKey(SSHKeyPair):
    """A host key without its private half: signatures come from the monitor."""

    def __init__(self, blob: bytes, algorithms: Sequence[str]) -> None:
        names = tuple(name.encode() for name in algorithms)
        super().__init__(names[0], names[0], names, names, blob, None)
        self.signature = b""

    def sign(self, data: bytes) -> bytes:
        """Return the signature that came with the exchange hash."""
        signature, self.signature = self.signature, b""
        return signature


class _Connection(SSHServerConnection):
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        options: SSHServerConnectionOptions,
        monitor: Monitor,
        keys: Sequence[_HostKey],
    ) -> None:
        super().__init__(loop, options)
        self.monitor = monitor
        self.keys = keys
        self.gate = Gate()

    async def reload_config(self) -> None:
        """Do nothing: the library would build its options anew for each user name, in a thread."""

    async def validate_public_key(
        self, username: str, key_data: bytes, msg: bytes, signature: bytes
    ) -> bool:
        """Ask the monitor; neither keys nor certificates are judged here."""
        return await self.monitor.prove(username, key_data, msg, signature)

    def pause_writing(self) -> None:
        """Hold the sessions: the library would go on filling the transport's buffer."""
        self.gate.set(shut=True)

    def resume_writing(self) -> None:
        """Let the sessions go on."""
        self.gate.set(shut=False)


class _Door(asyncssh.SSHServer):
    def __init__(self, monitor: Monitor, closed: "asyncio.Future[str]") -> None:
        self._monitor = monitor
        self._closed = closed
        self._connection: Any = None

    def connection_made(self, conn: Any) -> None:
        self._connection = conn

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closed.done():
            self._closed.set_result(str(exc or "closed"))

    def begin_auth(self, username: str) -> bool:
        """Always ask for authentication: None or False would log in."""
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    async def session_requested(self) -> Any:
        try:
            descriptors = await self._monitor.session()
        except (SheltieError, OSError, TimeoutError):
            descriptors = None
        if descriptors is None:
            return False
        return Relay(descriptors, self._connection.gate)


def _compute_hash(self: Any, host_key_data: bytes, k: bytes) -> bytes:
    """Have the monitor hash and sign: it must know what it signs (see `judge.exchange`)."""
    connection = self._conn
    key = next(key for key in connection.keys if key.public_data == host_key_data)
    rest = self._gex_data + self._format_client_key() + self._format_server_key() + k
    answer = connection.monitor.exchange(
        hash=self._hash_alg().name,
        algorithm=key.sig_algorithm.decode(),
        key=host_key_data,
        prefix=connection.get_hash_prefix(),
        rest=rest,
    )
    key.signature = answer.signature
    digest: bytes = answer.hash
    return digest


kex_dh._KexDHBase._compute_hash = _compute_hash  # type: ignore[method-assign]  # noqa: SLF001  guarded by a test
