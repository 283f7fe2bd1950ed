"""Forwards in the listener: what the client asks for becomes a question to the monitor."""

import asyncio
import socket
from typing import Any

import asyncssh
from asyncssh.misc import ChannelOpenError

from admin.ssh.ask import Monitor
from admin.ssh.gate import Gate
from admin.ssh.protocol import AskAgent, Incoming, Listen
from admin.ssh.tunnel import WINDOW, Tunnel
from contract.errors import RefusedError, SheltieError

__all__ = ["Port", "Ports"]

PROHIBITED = asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED
FAILED = asyncssh.OPEN_CONNECT_FAILED


class Port(asyncssh.SSHListener):
    """A port that is listened on for the client, as the library keeps it."""

    def __init__(self, monitor: Monitor, number: int, port: int) -> None:
        super().__init__()
        self._monitor, self._number, self._port = monitor, number, port

    def get_port(self) -> int:
        """Return the port."""
        return self._port

    def close(self) -> None:
        """Listen no more."""
        self._monitor.unlisten(self._number)

    async def wait_closed(self) -> None:
        """Return at once: closing is the monitor's."""


class Ports:
    """The forwards of one connection."""

    def __init__(self, connection: Any, monitor: Monitor, gate: Gate) -> None:
        self._connection, self._monitor, self._gate = connection, monitor, gate
        self._listening: dict[int, asyncio.Future[tuple[str, int]]] = {}
        self._agent_asked = asyncio.Lock()
        self._agent = -1
        self.agent = False
        """Whether the client's agent may be reached."""
        self._tasks: set[asyncio.Task[None]] = set()
        monitor.incoming = self._came

    def open(self, host: str, port: int) -> tuple[Any, Any]:
        """Return a channel, and what connects it (RFC 4254 section 7.2)."""
        channel = self._connection.create_tcp_channel(window=WINDOW)
        return channel, self._opened(host, port)

    async def listen(self, host: str, port: int) -> Port | None:
        """Listen for the client (section 7.1); None where that cannot be."""
        number = self._monitor.number()
        self._listening[number] = asyncio.get_running_loop().create_future()
        try:
            found = await self._monitor.listen(Listen(number, host, port))
        except (SheltieError, OSError, TimeoutError):
            self._listening.pop(number).cancel()
            return None
        # Whoever came meanwhile waits: the client must hear of the port before it hears of them.
        self._listening[number].set_result((host, found))
        return Port(self._monitor, number, found)

    async def ask_agent(self) -> bool:
        """Let programs of the sessions reach the client's agent; whether they may."""
        async with self._agent_asked:
            if not self.agent:
                self._agent = self._monitor.number()
                try:
                    await self._monitor.listen(AskAgent(self._agent))
                except (SheltieError, OSError, TimeoutError):
                    return False
                self.agent = True
        return True

    async def _opened(self, host: str, port: int) -> Tunnel:
        try:
            end = await self._monitor.open(host, port)
        except RefusedError as error:
            raise ChannelOpenError(PROHIBITED, "forwarding refused") from error
        except (SheltieError, OSError, TimeoutError) as error:
            raise ChannelOpenError(FAILED, str(error)) from error
        return Tunnel(end, self._gate, self._monitor.closed)

    def _came(self, message: Incoming, end: socket.socket) -> None:
        task = asyncio.get_running_loop().create_task(self._hand_on(message, end))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hand_on(self, message: Incoming, end: socket.socket) -> None:
        """Open a channel to the client for whoever came."""
        tunnel = Tunnel(end, self._gate, self._monitor.closed)
        connection = self._connection
        try:
            if message.id == self._agent:
                channel = connection.create_agent_channel(WINDOW)
                await channel.open(lambda: tunnel)
            else:
                host, port = await self._listening[message.id]
                channel = connection.create_tcp_channel(window=WINDOW)
                await channel.accept(lambda: tunnel, host, port, message.host, message.port)
        except (asyncssh.Error, OSError, KeyError, asyncio.CancelledError):
            tunnel.discard()  # the client does not want it, or is gone
