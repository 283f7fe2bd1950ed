"""A small host API of the tests' own: a real Unix socket, real processes behind /exec.

It knows nothing of our daemon. With `stock` it is upstream's API alone; else it also answers
/sheltie/v1/status and merges the keys that are handed over. "Admin" is a program named `admin` in
`programs`, the only directory on the PATH of what runs by /exec besides the machine's.
"""

import base64
import json
import os
import shutil
import socket
import stat
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import h11

from tests.contract.fakeexec import serve_exec

__all__ = ["FakeHost", "key_line", "running"]

Tree = dict[str, Any]
HOST_KEY = (
    "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + b"h" * 32).decode()
)

_ADMIN = """#!{python} -I
import json, pathlib, sys
path = pathlib.Path(__file__).parent / "admin.json"
if not path.exists():
    sys.exit("admin: the keeper does not answer [UNAVAILABLE]")
known = json.loads(path.read_text())
for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps({{"id": request["id"], "result": known[request["method"]]}}))
"""


def key_line(number: int, comment: str = "") -> str:
    """Return an ed25519 key line of made-up bytes."""
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes([number]) * 32
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} {comment or f'k{number}'}"


class FakeHost:
    """One host. `settings` is the live tree, `requests` what was asked, `refuse` what to refuse."""

    def __init__(self, directory: Path, *, stock: bool) -> None:
        self.stock = stock
        self.path = str(directory / "api.sock")
        self.programs = directory / "bin"
        self.settings: Tree = {
            "motd": "hello",
            "host-containers": {
                "admin": {"enabled": False, "source": "oci:/a", "superpowered": True},
                "control": {"enabled": True, "source": "oci:/c", "superpowered": False},
            },
        }
        self.pending: dict[str, Tree] = {}
        self.handed: list[str] = []
        self.requests: list[str] = []
        self.refuse: dict[str, tuple[int, str]] = {}
        self.state = "running"
        self.reason = ""
        self.listen: list[tuple[str, int]] = [("127.0.0.1", 2222)]
        self.reached_at: list[tuple[str, int]] = []
        self.ready = True
        self.problems: list[str] = []
        self.missing_exec = False
        self.on_exec: Callable[[list[bytes]], None] = lambda _command: None
        self._lock = threading.Lock()
        self.programs.mkdir()
        self.write_program("admin", _ADMIN.format(python=sys.executable))

    @property
    def admin(self) -> Tree:
        """The live settings of the admin container."""
        admin: Tree = self.settings["host-containers"]["admin"]
        return admin

    def user_data(self) -> Tree:
        """Return admin's user-data as a document."""
        raw = base64.b64decode(self.admin.get("user-data", ""))
        document: Tree = json.loads(raw) if raw else {}
        return document

    def keys(self) -> list[str]:
        """Return the key lines that admin would let in."""
        own: list[str] = self.user_data().get("ssh", {}).get("authorized-keys", [])
        return own + self.handed

    def write_program(self, name: str, text: str) -> None:
        """Put a program where /exec finds it."""
        path = self.programs / name
        path.write_text(text)
        path.chmod(stat.S_IRWXU)

    def publish(self) -> None:
        """Let the admin program answer as the settings say, or not at all."""
        path = self.programs / "admin.json"
        if not self.admin["enabled"]:
            path.unlink(missing_ok=True)
            return
        keys = [_shown(line) for line in self.keys()]
        status = {
            "ready": self.ready,
            "user": "ec2-user",
            "since": "2026-01-01T00:00:00Z",
            "listen": self.listen,
            "reached_at": self.reached_at,
            "keys": keys,
            "sessions": [],
            "problems": self.problems,
        }
        host_keys = {"keys": [HOST_KEY], "listen": self.listen, "user": "ec2-user"}
        scratch = self.programs / ".admin.json"
        scratch.write_text(json.dumps({"status": status, "host-keys": host_keys}))
        scratch.rename(path)

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        """Answer one request."""
        parts = urlsplit(target)
        path, query = unquote(parts.path), dict(parse_qsl(parts.query))
        with self._lock:
            self.requests.append(f"{method} {path}")
            refused = self.refuse.get(f"{method} {path}")
            if refused is not None:
                return refused[0], refused[1].encode()
            return self._route(method, path, query, body)

    def _route(
        self, method: str, path: str, query: dict[str, str], body: bytes
    ) -> tuple[int, bytes]:
        tx = query.get("tx", "default")
        match method, path:
            case "GET", "/":
                return 200, _json(self._matching(query["prefix"]))
            case "GET", "/os":
                return 200, _json({"pretty_name": "Fake 1", "arch": "x86_64"})
            case "GET", "/settings":
                return 200, _json(self._named(query["keys"].split(",")))
            case "PATCH", "/settings":
                self.pending[tx] = json.loads(body)
                return 204, b""
            case "PATCH", "/settings/keypair":
                self.pending[tx] = _tree(json.loads(body)["request_payload"])
                return 204, b""
            case "DELETE", "/tx":
                return 200, _json(list(_flat(self.pending.pop(tx, {}))))
            case "POST", "/tx/commit_and_apply":
                return self._commit(tx)
            case "GET", "/sheltie/v1/status" if not self.stock:
                return 200, _json(self._status())
            case _:
                return 404, b""

    def _commit(self, tx: str) -> tuple[int, bytes]:
        change = self.pending.pop(tx, None)
        if not change:
            return 422, b"Tried to commit with no pending changes"
        admin = change.get("host-containers", {}).get("admin", {})
        if not self.stock and "user-data" in admin:
            document = json.loads(base64.b64decode(admin.pop("user-data")))
            new = document["ssh"]["authorized-keys"]
            self.handed += [line for line in new if line not in self.handed]
        if admin.get("enabled") is False:
            self.handed = []
        _merge(self.settings, change)
        self.publish()
        return 200, _json([f"settings.{name}" for name in _flat(change)])

    def _matching(self, prefix: str) -> Tree:
        sections = {"settings": self.settings, "os": {"pretty_name": "Fake 1", "arch": "x86_64"}}
        flat = {f"{top}.{k}": v for top, tree in sections.items() for k, v in _flat(tree).items()}
        return _nest({name: value for name, value in flat.items() if name.startswith(prefix)})

    def _named(self, names: list[str]) -> Tree:
        flat = {f"settings.{name}": value for name, value in _flat(self.settings).items()}
        found = _nest({name: flat[name] for name in names if name in flat})
        return found.get("settings", {})  # type: ignore[no-any-return]  # a tree of JSON

    def _status(self) -> Tree:
        containers = []
        for name, one in sorted(self.settings["host-containers"].items()):
            state = self.state if name == "admin" else "running"
            shown = state if one["enabled"] else "disabled"
            since = "2026-01-01T00:00:00Z"
            row = {"name": name, "enabled": one["enabled"], "state": shown, "since": since}
            if name == "admin" and one["enabled"]:
                row["reason"] = self.reason
            containers.append(row)
        keys = [
            {"key": _shown(line), "by": "control uid 0", "since": "2026-01-01T00:00:01Z"}
            for line in self.handed
        ]
        door = {"open": self.admin["enabled"], "since": "2026-01-01T00:00:00Z", "keys": keys}
        about = {"version": "0.1.0", "caller": "control", "runtime": "none"}
        return {**about, "since": "2026-01-01T00:00:00Z", "door": door, "containers": containers}

    def may_exec(self, target: str) -> str:
        """Return why there can be no exec into `target`, nothing when there can."""
        if self.missing_exec:
            return "failed to spawn process: no such container"
        container = self.settings["host-containers"].get(target, {})
        return "" if container.get("enabled") else f"failed to spawn process: no task {target}"


def _shown(line: str) -> Tree:
    from contract import keyline

    key = keyline.parse(line)
    return {"fingerprint": key.fingerprint, "type": key.type, "comment": key.comment}


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _flat(tree: Tree, prefix: str = "") -> Tree:
    flat: Tree = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat.update(_flat(value, f"{name}.") if isinstance(value, dict) else {name: value})
    return flat


def _nest(flat: Tree) -> Tree:
    tree: Tree = {}
    for name, value in flat.items():
        node, *rest = name.split(".")
        place = tree
        for part in rest:
            place = place.setdefault(node, {})
            node = part
        place[node] = value
    return tree


def _tree(pairs: list[str]) -> Tree:
    known = {"true": True, "false": False}
    split = [pair.split("=", 1) for pair in pairs]
    return _nest({name.removeprefix("settings."): known.get(value, value) for name, value in split})


def _merge(tree: Tree, change: Tree) -> None:
    for key, value in change.items():
        if isinstance(value, dict):
            _merge(tree.setdefault(key, {}), value)
        else:
            tree[key] = value


def _serve(host: FakeHost, connection: socket.socket) -> None:
    with connection, suppress(OSError, h11.RemoteProtocolError):
        machine = h11.Connection(h11.SERVER)
        request, body = None, b""
        while True:
            event = machine.next_event()
            if event is h11.NEED_DATA:
                machine.receive_data(connection.recv(65536))
            elif isinstance(event, h11.Request):
                request = event
                headers = {name.decode(): value.decode() for name, value in event.headers}
                if event.target == b"/exec":
                    rest = machine.trailing_data[0]
                    _exec(host, connection, headers, rest)
                    return
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            else:
                break
        if request is None:
            return
        status, text = host.answer(request.method.decode(), request.target.decode(), body)
        headers_out = [("content-length", str(len(text))), ("connection", "close")]
        answer = [
            machine.send(h11.Response(status_code=status, headers=headers_out)),
            machine.send(h11.Data(data=text)) if text else b"",
            machine.send(h11.EndOfMessage()),
        ]
        connection.sendall(b"".join(part or b"" for part in answer))


def _exec(host: FakeHost, connection: socket.socket, headers: dict[str, str], rest: bytes) -> None:
    with host._lock:
        host.requests.append("GET /exec")
        refused = host.refuse.get("GET /exec")
    if refused is not None:
        text = refused[1].encode()
        head = f"HTTP/1.1 {refused[0]} No\r\nContent-Length: {len(text)}\r\n\r\n"
        connection.sendall(head.encode() + text)
        return
    environment = {**os.environ, "PATH": f"{host.programs}:{os.environ['PATH']}"}
    serve_exec(connection, headers["sec-websocket-key"], rest, host, environment)


@contextmanager
def running(*, stock: bool) -> Iterator[FakeHost]:
    """Serve a fresh host until the end of the block."""
    directory = Path(tempfile.mkdtemp(prefix="fake-", dir="/tmp"))
    host = FakeHost(directory, stock=stock)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(host.path)
    listener.listen(64)
    threads: list[threading.Thread] = []
    open_: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                open_.append(connection)
                thread = threading.Thread(target=_serve, args=(host, connection), daemon=True)
                threads.append(thread)
                thread.start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield host
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in open_:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in [accepting, *threads]:
            thread.join(20)
        shutil.rmtree(directory)
