"""Clients of the tests: http.client over a Unix socket, and a WebSocket written from RFC 6455."""

import asyncio
import base64
import contextlib
import hashlib
import http.client
import json
import os
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

__all__ = ["Answer", "ExecClient", "accept", "ask", "hang_up", "raw", "reached"]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def json(self) -> Any:
        """The body as the JSON document that it says it is."""
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("whatever.example")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(self._path))


def _ask(path: Path, method: str, target: str, body: Any, kind: str) -> Answer:
    connection = _Connection(path)
    try:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {"content-type": kind} if data is not None else {}
        connection.request(method, target, data, headers)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, response.read(), found)
    finally:
        connection.close()


async def ask(
    path: Path, method: str, target: str, body: Any = None, kind: str = "application/json"
) -> Answer:
    """Ask once; `body` is bytes, or a document that is sent as JSON."""
    return await asyncio.to_thread(_ask, path, method, target, body, kind)


async def raw(path: Path, data: bytes, *, end: bool = True) -> bytes:
    """Send bytes, end the sending side if asked, and return all that comes until the end."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(data)
        if end:
            writer.write_eof()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        await hang_up(writer)


async def hang_up(writer: StreamWriter) -> None:
    """Close and wait until that is done."""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


class ExecClient:
    """One exec, message by message."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.answering = True

    @classmethod
    async def open(cls, path: Path, key: str = "AQIDBAUGBwgJCgsMDQ4PEA") -> Self:
        """Open /exec with a key as stock clients send it: unpadded."""
        reader, writer = await asyncio.open_unix_connection(path)
        head = "GET /exec HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        head += f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
        writer.write(f"{head}\r\n".encode())
        client = cls(reader, writer)
        client.head = (await reader.readuntil(b"\r\n\r\n")).decode()
        return client

    head: str = ""

    async def start(self, *command: str, target: str = "admin", tty: Any = None) -> None:
        """Take the first capacity and send an Initialize."""
        assert await self.receive() == (
            TEXT,
            b'{"Capacity":{"max_messages_outstanding":1024,"messages_written":0}}',
        )
        words = [{"Unix": list(word.encode())} for word in command]
        self.send_json({"Initialize": {"command": words, "target": target, "tty": tty}})

    def send_json(self, document: Any) -> None:
        """Send a control message."""
        self.send(TEXT, json.dumps(document).encode())

    def send(self, opcode: int, data: bytes = b"", *, final: bool = True) -> None:
        """Send one masked frame."""
        mask = os.urandom(4)
        size = len(data)
        head = bytes([opcode | (0x80 if final else 0)])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 1 << 16:
            head += bytes([0x80 | 126]) + struct.pack(">H", size)
        else:
            head += bytes([0x80 | 127]) + struct.pack(">Q", size)
        pad = (mask * (size // 4 + 1))[:size]
        masked = (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")
        self.writer.write(head + mask + masked)

    async def receive(self) -> tuple[int, bytes]:
        """Return the next frame's opcode and payload; pings are answered on the way."""
        while True:
            first, second = await self.reader.readexactly(2)
            assert first & 0x80, "the server never fragments"
            assert not second & 0x80, "the server never masks"
            size = second
            if size == 126:
                (size,) = struct.unpack(">H", await self.reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", await self.reader.readexactly(8))
            opcode, data = first & 0x0F, await self.reader.readexactly(size)
            if opcode == PING and self.answering:
                self.send(PONG, data)
            else:
                return opcode, data

    async def rest(self) -> tuple[bytes, list[Any], tuple[int, str]]:
        """Return all output, all control messages, and the close; the close is confirmed."""
        output, control = bytearray(), []
        while True:
            opcode, data = await self.receive()
            if opcode == BINARY:
                assert len(data) <= 4096
                output += data
            elif opcode == TEXT:
                control.append(json.loads(data))
            elif opcode == CLOSE:
                self.send(CLOSE, data[:2])
                (code,) = struct.unpack(">H", data[:2])
                return bytes(output), control, (code, data[2:].decode())

    async def until(self, wanted: bytes) -> bytes:
        """Return output up to and with `wanted`."""
        output = bytearray()
        while wanted not in output:
            opcode, data = await self.receive()
            if opcode == CLOSE:
                raise AssertionError(f"closed after {bytes(output)!r}: {data!r}")
            if opcode == BINARY:
                output += data
        return bytes(output)

    def close(self) -> None:
        """Vanish."""
        self.writer.close()

    async def closed(self) -> None:
        """Vanish and wait until that is done."""
        await hang_up(self.writer)


def accept(key: str) -> str:
    """Return what the server must accept a key with."""
    text = f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()
    return base64.b64encode(hashlib.sha1(text).digest()).decode()  # noqa: S324  RFC 6455


async def reached(condition: Callable[[], bool]) -> None:
    """Wait until the server, which runs in this loop, has come to a state that has no event."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  the server is not changed for its tests' sake
            await asyncio.sleep(0.001)
