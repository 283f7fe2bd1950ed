"""HTTP as clients of all kinds speak it: the odd, the silent, the greedy and the broken."""

import asyncio
import os
import socket
import stat
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.errors import ConflictError
from host.api import endpoint
from host.api.limits import Limits
from tests.host.api.client import hang_up, raw, reached
from tests.host.api.conftest import Site

GET = b"GET /os HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/nothing"),
        ("GET", "/settings/"),
        ("POST", "/settings"),
        ("GET", "/settings/keypair"),
        ("DELETE", "/tx/list"),
        ("PUT", "/os"),
        ("POST", "/exec"),
        ("GET", "/sheltie/v2/status"),
    ],
)
async def test_unknown(site: Site, method: str, target: str) -> None:
    """An unknown path, and a method that a path does not know: 404 and nothing more."""
    answer = await site.ask(method, target)

    assert (answer.status, answer.body) == (404, b"")


@pytest.mark.parametrize("host", [b"localhost", b"", b"[::1]:80", b"a.b.c:1", b"%%%"])
async def test_any_host(site: Site, host: bytes) -> None:
    """The Host header may be anything."""
    data = await raw(site.socket(), b"GET /os HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")

    assert data.startswith(b"HTTP/1.1 200 ")


async def test_keep_alive(site: Site) -> None:
    """Requests follow one another on a connection, also when sent at once."""
    close = b"GET /tx/list HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    data = await raw(site.socket(), (GET + b"\r\n") * 3 + close, end=False)

    assert data.count(b"HTTP/1.1 200 ") == 4


async def test_http_1_0(site: Site) -> None:
    """HTTP/1.0 without a Host gets its answer and the end."""
    data = await raw(site.socket(), b"GET /os HTTP/1.0\r\n\r\n", end=False)

    assert data.startswith(b"HTTP/1.1 200 ")


async def test_absolute_target(site: Site) -> None:
    """A target with a scheme and a host is understood (RFC 9112 section 3.2.2)."""
    data = await raw(site.socket(), b"GET http://x/os?prefix=arch HTTP/1.1\r\nHost: x\r\n\r\n")

    assert data.endswith(b'{"arch":"x86_64"}')


async def test_expect_continue(site: Site) -> None:
    """A client that asks before it sends its body is told to go on."""
    reader, writer = await asyncio.open_unix_connection(site.socket())
    head = b"PATCH /settings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    writer.write(head + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
    writer.write(b"{}")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")
    await hang_up(writer)


async def test_chunked_body(site: Site) -> None:
    """A chunked body is a body."""
    head = b"PATCH /settings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    body = b"Transfer-Encoding: chunked\r\n\r\n8\r\n" + b'{"motd":' + b'\r\n4\r\n"x"}\r\n0\r\n\r\n'
    data = await raw(site.socket(), head + body)

    assert data.startswith(b"HTTP/1.1 204 ")
    assert (await site.ask("GET", "/tx")).json == {"motd": "x"}


@pytest.mark.parametrize("chunked", [False, True])
async def test_large_body(site: Site, *, chunked: bool) -> None:
    """A body over 2 MiB is 413, readable for a client that sends on; one below is fine."""
    limit = site.limits.body
    fits = b'{"motd":"' + b"x" * (limit - 11) + b'"}'
    assert len(fits) == limit
    assert (await site.ask("PATCH", "/settings", fits)).status == 204
    head = b"PATCH /settings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    size = b"%x\r\n" % (limit + 1) if chunked else b""
    kind = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (limit + 1)
    data = await raw(site.socket(), head + kind + b"\r\n\r\n" + size + b"x" * (limit + 1))

    assert data.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /os\r\n\r\n",
        b"GET /os HTTP/1.1\r\n\r\n",
        b"GET /os HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"HEAD http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"HEAD /os HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        GET + b"Upgrade: h2c\r\nContent-Length: 99999999\r\n\r\n",
        GET + b"Content-Length: x\r\n\r\n",
        GET + b"Content-Length: -1\r\n\r\n",
        GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        GET + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        GET + b"a b: c\r\n\r\n",
        GET + b"A: \0\r\n\r\n",
        GET + b"Content-Length: 5\r\n\r\nabc",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_malformed(site: Site, data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Malformed HTTP is a status of the client's fault and the end, never ours and no traceback."""
    answer = await raw(site.socket(), data)

    assert answer == b"" or answer.split()[1][:1] == b"4", answer
    assert not [record for record in caplog.records if record.exc_info]
    assert (await site.ask("GET", "/os")).status == 200


async def test_unknown_transfer_encoding(site: Site) -> None:
    """A transfer encoding that we do not have is 501 (RFC 9112 section 6.1)."""
    answer = await raw(site.socket(), GET + b"Transfer-Encoding: gzip\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 501 ")


async def test_large_head(site: Site) -> None:
    """Headers without end are refused once they are too many."""
    answer = await raw(site.socket(), GET + b"A: b\r\n" * 20_000, end=False)

    assert answer.startswith(b"HTTP/1.1 431 ")


@given(data=st.binary(max_size=200), prefix=st.sampled_from([b"", GET, GET + b"\r\n"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_any_bytes(site: Site, data: bytes, prefix: bytes) -> None:
    """Whatever bytes come, no answer is a server error."""
    answer = await raw(site.socket(), prefix + data)

    assert b"HTTP/1.1 5" not in answer


@given(
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(
                    [
                        *["motd", "host-containers", "admin", "enabled", "user-data", "command"],
                        *["network", "no-proxy", "container-registry", "mirrors", "credentials"],
                        *["pki", "data", "updates", "seed"],
                    ]
                )
                | st.text(max_size=5),
                inner,
                max_size=3,
            )
        ),
        max_leaves=6,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_any_document(site: Site, body: object) -> None:
    """Whatever JSON comes from whomever, the answer is 204, 400 or 403."""
    for who in ("host", "control"):
        for target in ("/settings", "/settings/keypair"):
            answer = await site.ask("PATCH", target, body, who=who)
            assert answer.status in {204, 400, 403}


PATHS = st.sampled_from(
    [
        *["/", "/os", "/settings", "/tx", "/tx/list", "/services", "/configuration-files"],
        *["/metadata/affected-services", "/metadata/templates", "/metadata/setting-generators"],
        *["/updates/status", "/report", "/tx/commit", "/tx/apply", "/tx/commit_and_apply"],
        *["/actions/refresh-updates", "/actions/prepare-update", "/sheltie/v1/status", "/exec"],
    ]
)
QUERIES = st.lists(
    st.tuples(
        st.sampled_from(["keys", "prefix", "names", "tx", "x"]),
        st.sampled_from(["", "settings.motd", "settings", "a..b", '"', "os.", ",", "%00", "%ff"])
        | st.text(max_size=8).map(quote),
    ),
    max_size=3,
)


@given(method=st.sampled_from(["GET", "POST", "PATCH", "DELETE"]), path=PATHS, query=QUERIES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_any_target(site: Site, method: str, path: str, query: list[tuple[str, str]]) -> None:
    """Whatever is asked of whichever endpoint, no answer is a server error."""
    target = f"{path}?{'&'.join(f'{name}={value}' for name, value in query)}"
    for who in ("host", "control"):
        answer = await site.ask(method, target, {} if method == "PATCH" else None, who=who)
        assert answer.status < 500, (target, answer.text)
    await site.house.updates.settled()


@given(st.lists(st.text(max_size=12), max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_any_pairs(site: Site, pairs: list[str]) -> None:
    """Whatever pairs come, the answer is 204 or 400."""
    body = {"request_payload": pairs}

    assert (await site.ask("PATCH", "/settings/keypair", body)).status in {204, 400}


class TestTight:
    """Limits so small that a test reaches them."""

    @pytest.fixture
    def limits(self) -> Limits:
        """Return small limits."""
        return Limits(idle=0.2, request=0.3, linger=0.2, connections=3)

    @pytest.mark.parametrize("start", [b"", b"GET /o", GET + b"Content-Length: 5\r\n\r\nab"])
    async def test_silent_clients_are_let_go(self, site: Site, start: bytes) -> None:
        """Who connects and says nothing, or stops in the middle, is hung up on."""
        assert await asyncio.wait_for(raw(site.socket(), start, end=False), 10) == b""

    async def test_connections_are_bounded(self, site: Site) -> None:
        """One caller's connections are bounded, and cost another caller nothing."""
        clients = [await site.exec("control") for _ in range(3)]
        assert await raw(site.socket("control"), GET + b"\r\n") == b""
        assert (await site.ask("GET", "/os", who="admin")).status == 200
        for client in clients:
            await client.closed()
        await reached(lambda: not site.listeners["control"].busy)
        assert (await site.ask("GET", "/os", who="control")).status == 200

    @pytest.mark.parametrize("start", [b"", b"GET /o", GET + b"Content-Length: 5\r\n\r\nab"])
    async def test_silent_ones_make_room(self, site: Site, start: bytes) -> None:
        """Where all connections are silent or half said, the oldest goes and a request is heard."""
        kept = [await asyncio.open_unix_connection(site.socket("control")) for _ in range(3)]
        for _, writer in kept:
            writer.write(start)
            await writer.drain()
        await reached(lambda: len(site.listeners["control"].connections) == 3)
        assert (await site.ask("GET", "/os", who="control")).status == 200
        assert await kept[0][0].read() == b""
        for _, writer in kept:
            await hang_up(writer)

    async def test_who_does_not_read_is_let_go(self, site: Site) -> None:
        """A client that asks and never reads its answers does not stay."""
        await site.ask("PATCH", "/settings", {"motd": "x" * 1_000_000})
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(site.socket()))
        client.send((b"GET /tx HTTP/1.1\r\nHost: x\r\n\r\n") * 4)
        await reached(lambda: site.listeners["host"].busy)
        await reached(lambda: not site.listeners["host"].busy)
        client.close()


async def test_socket_mode(site: Site) -> None:
    """The socket is root's and group api's, mode 0660, and no scratch name stays."""
    found = site.socket().lstat()

    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o660
    assert found.st_gid == (274 if os.geteuid() == 0 else os.getgid())
    assert not [path for path in site.directory.iterdir() if path.name.endswith(".new")]


def test_stale_socket_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    """A dead daemon's socket is replaced; anything else in the way is named and left alone."""
    path = tmp_path / ("deep" * 30) / "api.sock"
    path.parent.mkdir()
    for _ in range(2):
        with endpoint.bound(path) as listener:
            pass
        listener.close()
    path.unlink()
    path.write_text("precious")
    with pytest.raises(ConflictError, match="is no socket"), endpoint.bound(path):
        pass
    endpoint.remove(path)

    assert path.read_text() == "precious"
