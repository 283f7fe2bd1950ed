"""The SSH library, bent to a process that may do nothing by itself.

asyncssh by subclassing (hooks and their stability are held by a guard test). Authentication goes to
the monitor as a whole, before the library judges anything; the library is given no keys of users
and no private key of the host.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Any

import asyncssh
from asyncssh import kex_dh
from asyncssh.connection import SSHServerConnection, SSHServerConnectionOptions
from asyncssh.constants import MSG_IGNORE, MSG_KEXINIT
from asyncssh.packet import SSHPacket, SSHPacketLogger, String
from asyncssh.public_key import SSHKeyPair

from admin.ssh.ask import Monitor
from admin.ssh.gate import Gate
from admin.ssh.ports import Port, Ports
from admin.ssh.protocol import VERSION, ListenerTask, OfferedKey
from admin.ssh.relay import Relay
from contract.errors import SheltieError

__all__ = ["Connection", "HostKey", "Prepared", "take_over"]

PROVEN_MAX = 32
"""Most host keys that a client may ask to be proven at once."""
COOKIE_SIZE, KEXINIT_LISTS = 16, 10
"""How a KEXINIT packet begins (RFC 4253 section 7.1)."""
KEEP_ALIVES = 3
"""Keep-alives without an answer before the connection is given up (ClientAliveCountMax)."""


class HostKey(SSHKeyPair):
    """A host key without its private half: signatures come from the monitor."""

    def __init__(self, offered: OfferedKey) -> None:
        names = [name.encode() for name in offered.algorithms]
        pairs = zip(names, offered.signatures, strict=True)
        self._signed_by = {name: signature.encode() for name, signature in pairs}
        super().__init__(names[0], names[0], names, names, offered.blob, None)
        self.set_sig_algorithm(names[0])
        self.signature = b""

    def set_sig_algorithm(self, sig_algorithm: bytes) -> None:
        """Take note of the name that the key exchange chose."""
        self.algorithm = sig_algorithm
        self.sig_algorithm = self._signed_by[sig_algorithm]

    def sign(self, data: bytes) -> bytes:
        """Return the signature that came with the exchange hash."""
        signature, self.signature = self.signature, b""
        return signature


class Prepared:
    """What connections of one setting share: made once in the zygote, then used in its children.

    A child sets `monitor` and `closed` before it has a connection. No private key is in it, and
    nothing of any peer.
    """

    def __init__(self, task: ListenerTask) -> None:
        self.task = task
        self.keys = [HostKey(offered) for offered in task.keys]
        self.options = _options(task, self.keys, self._door)
        self.monitor: Monitor | None = None
        self.closed: asyncio.Future[str] | None = None

    def _door(self) -> "_Door":
        assert self.monitor is not None  # noqa: S101  set in the child
        assert self.closed is not None  # noqa: S101
        return _Door(self.monitor, self.task, self.closed)


def _options(
    task: ListenerTask, keys: Sequence[HostKey], door: "Callable[[], _Door]"
) -> SSHServerConnectionOptions:
    """Return the library's options: everything off that is not asked for."""
    algorithms = task.algorithms
    return SSHServerConnectionOptions(
        config=None,
        server_factory=door,
        server_host_keys=list(keys),
        server_version=VERSION.decode().removeprefix("SSH-2.0-"),
        kex_algs=algorithms.kex,
        encryption_algs=algorithms.ciphers,
        mac_algs=algorithms.macs,
        compression_algs=["none"],
        signature_algs=algorithms.signatures,
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
        login_timeout=task.grace,
        keepalive_interval=task.keep_alive,
        keepalive_count_max=KEEP_ALIVES,
    )


class Connection(SSHServerConnection):
    """One connection, whose decisions are the monitor's."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, prepared: Prepared, monitor: Monitor
    ) -> None:
        super().__init__(loop, prepared.options)
        self.monitor = monitor
        self.keys = prepared.keys
        self.gate = Gate()
        self.ports = Ports(self, monitor, self.gate)
        self._announced = prepared.task.announced

    def _send_version(self) -> None:
        """Send nothing: the monitor announced the version before this process was forked."""
        self._server_version = VERSION
        self.set_extra_info(server_version=VERSION.decode())

    async def _process_kexinit(self, _pkttype: int, _pktid: int, packet: SSHPacket) -> None:
        """Judge by RFC 4253 section 7 whether the packet that the client guessed is to be ignored.

        The library takes a guess for right if its method was chosen; by the RFC, and to Dropbear,
        it is right only if both sides' first method and first kind of host key are the same.
        """
        ahead = SSHPacket(packet.get_remaining_payload())
        ahead.get_bytes(COOKIE_SIZE)
        lists = [ahead.get_namelist() for _ in range(KEXINIT_LISTS)]
        follows = ahead.get_boolean()
        await super()._process_kexinit(_pkttype, _pktid, packet)
        ours = (self._kex_algs[:1], list(self._server_host_key_algs or ())[:1])
        self._ignore_first_kex = follows and (lists[0][:1], lists[1][:1]) != ours

    # The library looks methods up in a table of functions, not by their names.
    _packet_handlers = {  # noqa: RUF012  declared so there
        **SSHServerConnection._packet_handlers,  # noqa: SLF001
        MSG_KEXINIT: _process_kexinit,
    }

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        """Acknowledge at once while the peer logs in.

        Clients send small packets in pairs there, and hold the second one (Nagle) until the first
        is acknowledged, which our kernel would delay by 40 ms (TCP_QUICKACK in tcp(7)).
        """
        if not self._auth_complete and self._transport is not None:
            peer = self._transport.get_extra_info("socket")
            with contextlib.suppress(OSError):  # no TCP, or gone
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        super().data_received(data, datatype)

    def send_packet(
        self, pkttype: int, *args: bytes, handler: SSHPacketLogger | None = None
    ) -> None:
        """Send a packet, but none of those that the library puts before each: they say nothing.

        They make the first block of a CBC cipher hard to foresee (RFC 4251 section 9.3.1); no such
        cipher is offered.
        """
        if pkttype != MSG_IGNORE:
            super().send_packet(pkttype, *args, handler=handler)

    async def reload_config(self) -> None:
        """Do nothing: the library would build its options anew for each user name, in a thread."""

    async def validate_public_key(
        self, username: str, key_data: bytes, msg: bytes, signature: bytes
    ) -> bool:
        """Ask the monitor; neither keys nor certificates are judged here."""
        return await self.monitor.prove(username, key_data, msg, signature)

    def send_server_host_keys(self) -> None:
        """Announce every host key, so that clients learn the next ones (OpenSSH's PROTOCOL)."""
        if self._announced:
            blobs = [String(blob) for blob in self._announced]
            self._send_global_request(b"hostkeys-00@openssh.com", *blobs)

    def _process_hostkeys_prove_00_at_openssh_dot_com_global_request(
        self, packet: SSHPacket
    ) -> None:
        """Have the monitor prove host keys: by a request of its own, apart from key exchanges."""
        keys: list[bytes] = []
        while packet and len(keys) <= PROVEN_MAX:
            keys.append(packet.get_string())
        signatures = self.monitor.prove_keys(keys) if 0 < len(keys) <= PROVEN_MAX else []
        self._report_global_response(b"".join(map(String, signatures)) or False)

    async def create_agent_listener(self) -> bool:
        """Let the client's agent be reached: the monitor listens, in a directory of the user's."""
        return await self.ports.ask_agent()

    def pause_writing(self) -> None:
        """Hold the sessions: the library would go on filling the transport's buffer."""
        self.gate.set(shut=True)

    def resume_writing(self) -> None:
        """Let the sessions go on."""
        self.gate.set(shut=False)


class _Door(asyncssh.SSHServer):
    """What is served: sessions, and forwards of ports. Unix sockets and tunnels stay refused."""

    def __init__(self, monitor: Monitor, task: ListenerTask, closed: "asyncio.Future[str]") -> None:
        self._monitor = monitor
        self._task = task
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
            granted = await self._monitor.session()
        except (SheltieError, OSError, TimeoutError):
            granted = None
        if granted is None:
            # Not False: from a coroutine the library takes that for a session.
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "no session")
        ports = self._ports()
        return Relay(
            granted[1],
            self._connection.gate,
            pty=granted[0].pty,
            idle=self._task.idle,
            agent=lambda: ports.agent,
        )

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> tuple[Any, Any]:
        """Have the monitor connect, where it allows it."""
        return self._ports().open(dest_host, dest_port)

    async def server_requested(self, listen_host: str, listen_port: int) -> Port | bool:
        """Have the monitor listen, where it allows it."""
        return await self._ports().listen(listen_host, listen_port) or False

    def _ports(self) -> Ports:
        ports: Ports = self._connection.ports
        return ports


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


def take_over() -> None:
    """Have the library's key exchanges hash and sign by the monitor: once, in a listener's zygote.

    Its classes for the methods of key exchange are many; this is the one place that all go through.
    """
    kex_dh._KexDHBase._compute_hash = _compute_hash  # type: ignore[method-assign]  # noqa: SLF001  guarded by a test
