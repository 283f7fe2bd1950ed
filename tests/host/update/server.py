"""An update server that can break off, stall, and say what it was asked for."""

import re
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

__all__ = ["Server"]

_PIECE = 1 << 16


class Server:
    """Serves `place` on loopback, or on all addresses for a virtual machine.

    `cut` is after how many bytes of a file the next connections break off, 0 for never; `asked`
    holds (file, first byte). While `gate` is clear answers wait in the middle.
    """

    def __init__(self, place: Path, *, ranges: bool = True) -> None:
        self.place, self.ranges = place, ranges
        self.cut = 0
        self.asked: list[tuple[str, int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Its address on this machine."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, owner: Server, *rest: Any) -> None:
        self.owner = owner
        super().__init__(*rest)

    def do_GET(self) -> None:
        owner = self.owner
        file = owner.place / self.path.lstrip("/")
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(found[1]) if found and owner.ranges else 0
        owner.asked.append((file.name, start))
        if not file.is_file():
            self.send_error(404)
            return
        size = file.stat().st_size
        if start >= size > 0:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        try:
            self._send(file, start, size)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _send(self, file: Path, start: int, size: int) -> None:
        owner, sent = self.owner, 0
        big = size > _PIECE
        with file.open("rb") as stream:
            stream.seek(start)
            while piece := stream.read(_PIECE):
                if big and owner.cut and sent >= owner.cut:
                    self.close_connection = True
                    return
                if big and sent:
                    owner.reached.set()
                    owner.gate.wait(60)
                self.wfile.write(piece)
                sent += len(piece)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
        """Say nothing."""
