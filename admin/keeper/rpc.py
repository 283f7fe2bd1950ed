"""The keeper's socket, served: one JSON line in, one JSON line out (`contract/rpc.py`)."""

import asyncio
import logging
import os
import socket

from admin.keeper.door import Door
from admin.keeper.log import event
from contract import peer
from contract.errors import RefusedError, SheltieError, UsageError
from contract.rpc import (
    LINE_MAX,
    AdminStatus,
    CheckShown,
    Fault,
    HostKeys,
    Reply,
    Request,
    decode_request,
    encode,
)

__all__ = ["Service"]

_log = logging.getLogger(__name__)

METHODS = ("status", "host-keys", "check")
CONNECTIONS_MAX = 32
"""Callers at once; each is a short-lived `admin rpc` or sheltie."""


class Service:
    """Answers on a listening socket."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._connections = 0

    async def serve(self, listening: socket.socket) -> None:
        """Serve until cancelled."""
        # Not start_unix_server: from 3.13 on it looks at the path, which need not exist for us.
        server = await asyncio.start_server(self._connected, sock=listening, limit=LINE_MAX)
        async with server:
            await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            _admit(writer.get_extra_info("socket"), self._connections)
            await self._converse(reader, writer)
        except SheltieError as error:
            writer.write(encode(fault(0, error)))
        except OSError:
            return  # the caller went away
        finally:
            self._connections -= 1
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer each line. Raises UsageError (RPC_MESSAGE) on one that is too long."""
        while True:
            try:
                line = await reader.readline()
            except ValueError as error:
                raise UsageError(
                    f"rpc line longer than {LINE_MAX} bytes", code="RPC_MESSAGE"
                ) from error
            if not line:
                return
            writer.write(encode(await self._answer(line)))
            await writer.drain()

    async def _answer(self, line: bytes) -> Reply:
        try:
            request = decode_request(line)
        except SheltieError as error:
            return fault(0, error)
        try:
            return Reply(request.id, await self._call(request))
        except SheltieError as error:
            return fault(request.id, error)

    async def _call(self, request: Request) -> AdminStatus | HostKeys | CheckShown:
        """Run a method. Raises SheltieError."""
        if request.method not in METHODS:
            raise UsageError(f"unknown method {request.method[:40]!r}", code="RPC_METHOD")
        if request.params:
            raise UsageError(f"{request.method} takes no parameters", code="RPC_PARAMS")
        if request.method == "host-keys":
            return self._door.report.host_keys_shown()
        if request.method == "check":
            return await self._door.check()
        return self._door.report.status(await self._door.sessions())


def fault(number: int, error: SheltieError) -> Reply:
    """Return the error reply to request `number`."""
    return Reply(number, error=Fault(error.code, error.message, error.hint))


def _admit(connection: socket.socket, connections: int) -> None:
    """Raise RefusedError unless the caller is root or who we are, and one of few."""
    caller = peer.of(connection)
    if caller.uid not in (0, os.geteuid()):
        _log.warning(event("rpc-refused", uid=caller.uid, pid=caller.pid))
        raise RefusedError(f"uid {caller.uid} may not ask the keeper", code="REFUSED")
    if connections > CONNECTIONS_MAX:
        raise RefusedError("the keeper answers too many callers already", code="BUSY")
