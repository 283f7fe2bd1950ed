"""Documents for `apply`: from where they lie, and what they may be."""

import base64
import contextlib
import io
import json
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.apiclient import documents, fetch
from contract.errors import (
    FailedError,
    NotFoundError,
    SheltieError,
    TimedOutError,
    UnavailableError,
    UsageError,
)

TOML = b'[settings]\nmotd = "hello"\n[settings.host-containers.admin]\nenabled = true\n'
TREE = {"motd": "hello", "host-containers": {"admin": {"enabled": True}}}


class Handler(BaseHTTPRequestHandler):
    """A web server with one document, a large one, a redirect, and a silence."""

    def do_GET(self) -> None:
        """Answer."""
        match self.path:
            case "/good":
                self._send(200, TOML)
            case "/large":
                self._send(200, b"x" * (fetch.LIMIT + 1))
            case "/moved":
                self._send(302, b"", "/good")
            case "/away":
                self._send(302, b"", "file:///etc/hostname")
            case "/slow":
                self.server.released.wait(20)  # type: ignore[attr-defined]
            case _:
                self._send(404, b"no")

    def _send(self, status: int, data: bytes, location: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
        """Say nothing."""


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reach loopback directly, whatever this machine's environment says."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def web() -> Iterator[str]:
    """Give the address of a web server on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.released = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.released.set()  # type: ignore[attr-defined]
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_kind_of_uri(web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents come in the order of their URIs, whatever comes first."""
    file = tmp_path / "a b.toml"
    file.write_bytes(b"file")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"stdin")))
    coded = base64.b64encode(b"coded").decode()
    uris = [
        f"{web}/moved",
        f"base64:{coded}",
        "-",
        f"file://{tmp_path}/a%20b.toml",
        f"{web}/good",
        f"file://localhost{tmp_path}/a%20b.toml",
    ]

    assert fetch.fetch_all(uris) == [TOML, b"coded", b"stdin", b"file", TOML, b"file"]


@pytest.mark.parametrize(
    ("uri", "kind", "why"),
    [
        ("/etc/hosts", UsageError, "is no URI of a document"),
        ("ftp://x/y", UsageError, "is no URI of a document"),
        ("s3://bucket/key", UsageError, "is no URI of a document"),
        ("", UsageError, "is no URI of a document"),
        ("file:relative", UsageError, "names no file of this machine"),
        ("file://elsewhere/x", UsageError, "names no file of this machine"),
        ("file:///nonexistent", NotFoundError, "cannot read /nonexistent: No such file"),
        ("file:///etc", NotFoundError, "Is a directory"),
        ("file:///a%00b", NotFoundError, "null"),
        ("file:///dev/zero", UsageError, "larger than 2097152 bytes"),
        ("base64:%", UsageError, "what follows base64: is none"),
        ("WEB/large", UsageError, "larger than 2097152 bytes"),
        ("WEB/missing", FailedError, "HTTP status 404"),
        ("WEB/away", FailedError, "HTTP status 302"),
        ("http://127.0.0.1:1/x", UnavailableError, "Connection refused"),
        ("http://user:hush@127.0.0.1:1/x", SheltieError, "cannot fetch http://127.0.0.1:1/x"),
    ],
)
def test_what_cannot_be_fetched(web: str, uri: str, kind: type[SheltieError], why: str) -> None:
    """Each is one line that names the document, without a login in its URI."""
    with pytest.raises(kind) as caught:
        fetch.fetch_all([uri.replace("WEB", web)])

    assert why in caught.value.message
    assert "hush" not in caught.value.line()


@pytest.mark.parametrize("pace", [fetch.Pace(0.2, 20), fetch.Pace(20, 0.3)])
def test_a_server_that_is_silent(web: str, pace: fetch.Pace) -> None:
    """Waiting ends, for each answer and for the whole."""
    ticks: list[int] = []
    with pytest.raises(TimedOutError, match=r"/slow did not come in 0\.[23] s"):
        fetch.fetch_all([f"{web}/good", f"{web}/slow"], pace, lambda: ticks.append(1))

    assert ticks


def test_a_server_that_takes_no_connection() -> None:
    """A queue of connections that is full counts as silence too."""
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            client = stack.enter_context(socket.socket())
            client.settimeout(0)
            client.connect_ex(full.getsockname())
        port = full.getsockname()[1]
        with pytest.raises(TimedOutError):
            fetch.fetch_all([f"http://127.0.0.1:{port}/x"], fetch.Pace(0.3, 20))


@pytest.mark.parametrize(
    "data",
    [
        TOML,
        json.dumps({"settings": TREE}).encode(),
        b"\n  " + json.dumps({"settings": TREE}).encode(),
        b"# a comment\nsettings.motd = 'hello'\nsettings.host-containers.admin.enabled = true\n",
    ],
)
def test_documents(data: bytes) -> None:
    """TOML and JSON say the same."""
    assert documents.parse("x", data) == TREE


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it has no top-level table `settings`"),
        (b'motd = "x"', "it has no top-level table `settings`"),
        (b"settings = 1", "it has no top-level table `settings`"),
        (b'{"settings": []}', "it has no top-level table `settings`"),
        (b"[settings]\n[other]\n", "beside `settings` it has `other`"),
        (b"{", "it is neither TOML nor JSON"),
        (b"[1]", "it has no top-level table `settings`"),
        (b"\xff", "it is neither TOML nor JSON"),
        (b"a = [" + b"[" * 100_000, "it is neither TOML nor JSON"),
    ],
)
def test_what_is_no_document(data: bytes, why: str) -> None:
    """It is named, with what is wrong."""
    with pytest.raises(UsageError, match=r"^cannot apply NAME: ") as caught:
        documents.parse("NAME", data)

    assert why in caught.value.message


@pytest.mark.parametrize("value", ["2026-01-01", "nan", "12:00:00"])
def test_values_that_no_setting_has(value: str) -> None:
    """TOML's dates and numbers without end are refused before the host is asked."""
    settings = documents.parse("x", f"settings.a = {value}".encode())
    with pytest.raises(UsageError, match="it holds a value that no setting has"):
        documents.body("x", settings)


@given(st.binary(max_size=60))
def test_any_document(data: bytes) -> None:
    """Whatever bytes come, the answer is a table or one line."""
    with contextlib.suppress(UsageError):
        documents.body("x", documents.parse("x", b"[settings]\n" + data))
    with contextlib.suppress(UsageError):
        documents.parse("x", data)
