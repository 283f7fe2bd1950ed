"""The fake host's /exec: RFC 6455 frames by hand, and real local processes."""

import base64
import fcntl
import hashlib
import json
import os
import pty
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = ["serve_exec"]

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_CONTROLLING = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
_CONTROLLING += "os.execvp(sys.argv[1], sys.argv[1:])"


class Gatekeeper(Protocol):
    """What an exec asks of its host."""

    def may_exec(self, target: str) -> str:
        """Return why there can be none, nothing when there can."""


@dataclass
class Wire:
    """A WebSocket's server side, by hand; `control` is every text message that came."""

    connection: socket.socket
    buffer: bytes
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, opcode: int, data: bytes) -> None:
        """Send one frame."""
        size = len(data)
        head = bytes([0x80 | opcode, size]) if size < 126 else b""
        if not head:
            head = bytes([0x80 | opcode, 126]) + struct.pack(">H", size)
        with self.lock:
            self.connection.sendall(head + data)

    def _take(self, size: int) -> bytes:
        while len(self.buffer) < size:
            data = self.connection.recv(65536)
            if not data:
                raise ConnectionResetError
            self.buffer += data
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def receive(self) -> tuple[int, bytes]:
        """Return the next frame, which must be whole and masked."""
        first, second = self._take(2)
        assert first & 0x80, "a continuation"
        assert second & 0x80, "not masked"
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack(">H", self._take(2))
        mask = self._take(4)
        data = self._take(size)
        key = (mask * (size // 4 + 1))[:size]
        return first & 0x0F, bytes(a ^ b for a, b in zip(data, key, strict=True))

    def close(self, code: int, reason: str) -> None:
        """Say the end."""
        with suppress(OSError):
            self.send(CLOSE, struct.pack(">H", code) + reason.encode()[:120])


def serve_exec(
    connection: socket.socket, key: str, rest: bytes, host: Gatekeeper, environment: dict[str, str]
) -> None:
    """Serve one exec to its end."""
    text = f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()
    accept = base64.b64encode(hashlib.sha1(text).digest()).decode()  # noqa: S324  RFC 6455
    head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    connection.sendall(f"{head}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
    wire = Wire(connection, rest)
    _capacity(wire, 0)
    request = _first(wire)
    refusal = host.may_exec(request["target"])
    if refusal:
        wire.close(1011, refusal)
        return
    command = [bytes(word["Unix"]) for word in request["command"]]
    try:
        process, input_, output = _start(command, request["tty"], environment)
    except OSError as error:
        wire.close(1011, f"failed to spawn process: {error}")
        return
    relay = threading.Thread(target=_relay, args=(wire, process, output), daemon=True)
    relay.start()
    try:
        _feed(wire, input_, terminal=request["tty"] is not None)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        relay.join(20)
        for fd in {input_, output}:
            with suppress(OSError):
                os.close(fd)


def _first(wire: Wire) -> Any:
    while True:
        opcode, data = wire.receive()
        if opcode == TEXT:
            return json.loads(data)["Initialize"]
        assert opcode == PING


def _capacity(wire: Wire, written: int) -> None:
    capacity = {"max_messages_outstanding": 1024, "messages_written": written}
    wire.send(TEXT, json.dumps({"Capacity": capacity}).encode())


def _feed(wire: Wire, input_: int, *, terminal: bool) -> None:
    written, open_ = 0, True
    with suppress(ConnectionError):
        while True:
            opcode, data = wire.receive()
            if opcode == BINARY:
                assert len(data) <= (1 if terminal else 4096)
                with suppress(BrokenPipeError):
                    os.write(input_, data)
                written += 1
                if written % 128 == 0:
                    _capacity(wire, written)
            elif opcode == TEXT and data == b'"ContentComplete"' and open_:
                open_ = False
                if not terminal:
                    os.close(input_)
            elif opcode == TEXT and b"Winch" in data:
                _resize(input_, json.loads(data)["Winch"])
            elif opcode == PING:
                wire.send(PONG, data)
            elif opcode == CLOSE:
                return


def _relay(wire: Wire, process: subprocess.Popen[bytes], output: int) -> None:
    with suppress(OSError):
        while data := os.read(output, 4096):
            wire.send(BINARY, data)
    code = process.wait()
    wire.close(1000, str(code if code >= 0 else 128 - code))


def _resize(fd: int, size: dict[str, int]) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", size["rows"], size["cols"], 0, 0))


def _start(
    command: list[bytes], tty: Any, environment: dict[str, str]
) -> tuple[subprocess.Popen[bytes], int, int]:
    if tty is None:
        input_read, input_write = os.pipe()
        output_read, output_write = os.pipe()
        ends = (input_read, output_write)
        result, argv = (input_write, output_read), command
    else:
        master, slave = pty.openpty()
        if tty.get("size"):
            _resize(master, tty["size"])
        ends, result = (slave, slave), (master, master)
        argv = [sys.executable.encode(), b"-I", b"-c", _CONTROLLING.encode(), *command]
    try:
        process = subprocess.Popen(
            argv,
            stdin=ends[0],
            stdout=ends[1],
            stderr=ends[1],
            env=environment,
            start_new_session=True,
        )
    except OSError:
        for fd in set(result):
            os.close(fd)
        raise
    finally:
        for fd in set(ends):
            os.close(fd)
    return process, *result
