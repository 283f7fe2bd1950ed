"""The daemon's ears: the host's own socket, and one for each container that is wanted."""

import asyncio
import logging
import os
from asyncio import StreamReader, StreamWriter, Task
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from contract import durable, peer
from contract.errors import SheltieError
from contract.places import API_GID
from host.api import endpoint
from host.api.connection import Connection
from host.api.limits import Limits
from host.callers import Caller
from host.logline import event

if TYPE_CHECKING:
    from host.house import House

__all__ = ["ContainerDoors", "Listener"]

SOCKET_NAME: Final = "api.sock"

_log = logging.getLogger("host.api")


class Listener:
    """One socket and the connections made over it. Whoever uses it is `caller`."""

    def __init__(self, house: "House", caller: Caller, path: Path, limits: Limits) -> None:
        self._house = house
        self._caller = caller
        self._path = path
        self._limits = limits
        self.connections: dict[Connection, None] = {}
        self._tasks: set[Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Begin to listen. Raises ConflictError, MachineError."""
        with endpoint.bound(self._path) as listener:
            # Not start_unix_server: from 3.13 on it looks at the path, which may be reachable by
            # descriptor only.
            self._server = await asyncio.start_server(self._accept, sock=listener)

    def close(self) -> None:
        """Take no more connections and remove the socket; those that are there go on."""
        if self._server is not None:
            self._server.close()
            self._server = None
            endpoint.remove(self._path)

    async def hang_up(self) -> None:
        """Close, and end every connection and what it started."""
        self.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def busy(self) -> bool:
        """Whether connections are left."""
        return bool(self._tasks)

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        if len(self._tasks) >= self._limits.connections and not self._make_room():
            # No answer: writing one would cost what the limit saves.
            _log.warning(event("too-many-connections", caller=self._caller.label))
            writer.transport.abort()
            return
        try:
            who = peer.of(writer.get_extra_info("socket"))
        except OSError:  # it has gone already
            writer.transport.abort()
            return
        connection = Connection(self._house, self._caller, who, reader, writer, self._limits)
        self.connections[connection] = None
        task = asyncio.get_running_loop().create_task(self._serve(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _make_room(self) -> bool:
        """Drop the connection that has been silent the longest; False where none is.

        Whoever opens connections and says nothing pushes out its own silent ones, and a request
        gets through.
        """
        silent = [one for one in self.connections if one.waiting_since is not None]
        if not silent:
            return False
        min(silent, key=lambda one: one.waiting_since or 0.0).drop()
        return True

    async def _serve(self, connection: Connection) -> None:
        try:
            await connection.run()
        except Exception:  # noqa: BLE001  a defect of ours costs one connection, not the daemon
            _log.exception(event("defect", caller=self._caller.label))
            connection.drop()
        finally:
            del self.connections[connection]


class ContainerDoors:
    """A socket for each wanted container, at `directory`/NAME/api.sock.

    The directories stay: a container that is still up keeps the one that it has mounted.
    """

    def __init__(self, directory: Path, limits: Limits | None = None) -> None:
        self._directory = directory
        self._limits = limits or Limits()
        self._open: dict[str, Listener] = {}
        self._closing: list[Listener] = []
        self._house: House | None = None

    def serve(self, house: "House") -> None:
        """Answer with `house` from now on."""
        self._house = house

    async def want(self, names: Iterable[str]) -> None:
        """Have a socket for each of these containers, and for no other."""
        wanted = set(names)
        for name in self._open.keys() - wanted:
            listener = self._open.pop(name)
            listener.close()
            self._closing.append(listener)
        self._closing = [listener for listener in self._closing if listener.busy]
        for name in sorted(wanted - self._open.keys()):
            try:
                self._open[name] = await self._listen(name)
            except (SheltieError, OSError) as error:
                # One container without a socket holds up no other.
                _log.error(event("no-socket", container=name, why=error))

    async def close(self) -> None:
        """End every connection and remove every socket."""
        listeners = [*self._open.values(), *self._closing]
        self._open, self._closing = {}, []
        await asyncio.gather(*(listener.hang_up() for listener in listeners))

    async def _listen(self, name: str) -> Listener:
        if self._house is None:
            raise RuntimeError("serve() comes first")
        directory = durable.ensure_directory(self._directory / name, endpoint.DIRECTORY_MODE)
        if os.geteuid() == 0:
            os.chown(directory, 0, API_GID, follow_symlinks=False)
        path = directory / SOCKET_NAME
        caller = self._house.policy.caller(name)
        listener = Listener(self._house, caller, path, self._limits)
        await listener.open()
        return listener
