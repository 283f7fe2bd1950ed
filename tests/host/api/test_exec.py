"""/exec over real sockets and real processes, by a client written from the RFC."""

import asyncio
import json
import os
import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from host.api.exec import session
from host.touched import Touched
from tests.host.api.client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    ExecClient,
    accept,
    raw,
    reached,
)
from tests.host.api.conftest import Site

HEAD = b"GET /exec HTTP/1.1\r\nHost: x\r\n"
UPGRADE = b"Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
KEY = b"Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA\r\n"
VERSION = b"Sec-WebSocket-Version: 13\r\n"


@pytest.mark.parametrize("key", ["AQIDBAUGBwgJCgsMDQ4PEA", "AQIDBAUGBwgJCgsMDQ4PEA==", "odd key"])
async def test_opening(site: Site, key: str) -> None:
    """The accept value is of the key's text as it came, padded or not."""
    client = await ExecClient.open(site.socket(), key)

    assert client.head.startswith("HTTP/1.1 101 ")
    assert f"sec-websocket-accept: {accept(key)}\r\n" in client.head.replace("Sec-", "sec-")
    assert await client.receive() == (
        TEXT,
        b'{"Capacity":{"max_messages_outstanding":1024,"messages_written":0}}',
    )
    await client.closed()


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (KEY + VERSION, b"No WebSocket upgrade header found"),
        (b"Upgrade: websocket\r\n" + KEY + VERSION, b"No Connection upgrade"),
        (UPGRADE + KEY, b"Unsupported WebSocket version"),
        (UPGRADE + KEY + b"Sec-WebSocket-Version: 12\r\n", b"Unsupported WebSocket version"),
        (UPGRADE + VERSION, b"Unknown WebSocket key"),
    ],
)
async def test_bad_opening(site: Site, lines: bytes, text: bytes) -> None:
    """A request that is no WebSocket's opening is 400 with a line that says why."""
    answer = await raw(site.socket(), HEAD + lines + b"Connection: close\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(text)


@pytest.mark.parametrize("host", [b"2f72756e2f6170692e736f636b:0", b"", b"[::1]:1"])
async def test_any_host(site: Site, host: bytes) -> None:
    """Stock clients send the socket's path in hex as Host: whatever it is, it does not matter."""
    head = b"GET /exec HTTP/1.1\r\nHost: " + host + b"\r\n"
    answer = await raw(site.socket(), head + UPGRADE + KEY + VERSION + b"\r\n")

    assert answer.startswith(b"HTTP/1.1 101 ")


@pytest.mark.ours
@pytest.mark.parametrize("who", ["admin", "other"])
async def test_others_may_not_exec(site: Site, who: str) -> None:
    """Who may exec into nothing is refused before a WebSocket is opened."""
    answer = await raw(site.socket(who), HEAD + UPGRADE + KEY + VERSION + b"\r\n")

    assert answer.startswith(b"HTTP/1.1 403 ")
    assert answer.endswith(f"container '{who}' may not exec".encode())


@pytest.mark.parametrize(
    ("command", "status"),
    [("exit 0", "0"), ("exit 7", "7"), ("kill -9 $$", "137"), ("kill -TERM $$", "143")],
)
async def test_exit_status(site: Site, command: str, status: str) -> None:
    """The close's reason is the exit status, 128+n for a signal."""
    client = await site.exec()
    await client.start("sh", "-c", command)

    assert await client.rest() == (b"", [], (1000, status))


async def test_output_and_errors_are_merged(site: Site) -> None:
    """Both outputs come, in order, as bytes."""
    client = await site.exec()
    await client.start("sh", "-c", r"printf 'a\377'; printf b >&2; printf c")

    assert await client.rest() == (b"a\xffbc", [], (1000, "0"))


async def test_words_that_are_no_text(site: Site) -> None:
    """An argument is bytes: what is no UTF-8 arrives as it was sent."""
    client = await site.exec()
    await client.receive()
    words = [{"Unix": list(word)} for word in (b"printf", b"%s", b"\xff\xfe\n")]
    client.send_json({"Initialize": {"command": words, "target": "admin", "tty": None}})

    assert await client.rest() == (b"\xff\xfe\n", [], (1000, "0"))


async def test_input_that_cannot_be_written(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """An input that is broken, not just closed, ends the exec with 1011, and the process."""
    start = site.containers.exec

    async def broken(name: str, command: Any, *, size: Any) -> Any:
        process = await start(name, command, size=size)
        process.close_input()
        process.input = os.open("/dev/null", os.O_RDONLY)
        return process

    monkeypatch.setattr(site.containers, "exec", broken)
    client = await site.exec()
    await client.start("sleep", "600")
    client.send(BINARY, b"x")

    assert (await client.rest())[2] == (1011, "writing to process failed")
    await ended(site)


async def test_input_until_its_end(site: Site) -> None:
    """Input reaches the process unbroken, its end too, and capacity is told every 128 messages."""
    client = await site.exec()
    await client.start("cat")
    sent = os.urandom(300 * 4096)
    for at in range(0, len(sent), 4096):
        client.send(BINARY, sent[at : at + 4096])
    client.send_json("ContentComplete")
    client.send(BINARY, b"too late")
    output, control, close = await client.rest()

    assert (output == sent, close) == (True, (1000, "0"))
    assert control == [
        {"Capacity": {"max_messages_outstanding": 1024, "messages_written": written}}
        for written in (128, 256)
    ]


async def test_input_sent_before_the_process_runs(site: Site) -> None:
    """A client need not wait for the start: what it sends at once is kept."""
    client = await site.exec()
    client.send_json({"Initialize": {"command": ["cat"], "target": "admin", "tty": None}})
    client.send(BINARY, b"early")
    client.send_json("ContentComplete")

    assert (await client.rest())[0] == b"early"


async def test_process_that_stops_reading(site: Site) -> None:
    """A process that closes its input, as head does, still gives its own exit status."""
    client = await site.exec()
    await client.start("sh", "-c", "exec 0<&-; echo go; sleep 0.2; exit 3")
    assert await client.until(b"go\n")
    for _ in range(300):
        client.send(BINARY, b"x" * 4096)
    output, control, close = await client.rest()

    assert (output, close, len(control)) == (b"", (1000, "3"), 2)


async def test_client_that_ignores_its_capacity(site: Site) -> None:
    """More than 1024 waiting messages end the connection with 1009, and the process."""
    client = await site.exec()
    await client.start("sleep", "600")
    for _ in range(1200):
        client.send(BINARY, b"x" * 4096)
    _, _, close = await client.rest()

    assert close == (1009, "write buffer full; obey capacity updates")
    await ended(site)


async def test_as_many_messages_as_allowed(site: Site) -> None:
    """Exactly 1024 messages may wait, and their end behind them."""
    client = await site.exec()
    await client.start("sh", "-c", "sleep 0.3; cat | wc -c")
    for _ in range(1024):
        client.send(BINARY, b"x" * 100)
    client.send_json("ContentComplete")
    output, _, close = await client.rest()

    assert (int(output), close) == (102_400, (1000, "0"))


FAULTS: list[tuple[list[tuple[int, bytes]], int, str]] = [
    ([(BINARY, b"x")], 1008, "process data sent before initialization"),
    ([(TEXT, b'"ContentComplete"')], 1008, "ContentComplete sent before initialization"),
    ([(TEXT, b"{")], 1007, "invalid JSON in client message: "),
    ([(TEXT, b'{"Nope":1}')], 1007, "invalid JSON in client message: "),
    ([(TEXT, b"\xff")], 1007, ""),
    ([(TEXT, b"x" * 70_000)], 1009, "message larger than 65536 bytes"),
    ([(3, b"")], 1002, ""),
    ([(CONTINUATION, b"x")], 1002, ""),
]


@pytest.mark.parametrize(("frames", "code", "reason"), FAULTS)
async def test_faults(site: Site, frames: list[tuple[int, bytes]], code: int, reason: str) -> None:
    """A client that breaks the protocol is told how."""
    client = await site.exec()
    for opcode, data in frames:
        client.send(opcode, data)
    _, _, close = await client.rest()

    assert (close[0], close[1][: len(reason)]) == (code, reason)


async def test_continuation_is_refused(site: Site) -> None:
    """A message in several frames is refused, as upstream refuses it."""
    client = await site.exec()
    await client.start("cat")
    client.send(BINARY, b"x", final=False)

    assert (await client.rest())[2] == (1003, "Continuation messages not supported")


async def test_message_in_pieces_of_a_frame(site: Site) -> None:
    """A frame that arrives byte by byte is one message."""
    client = await site.exec()
    await client.start("head", "-c", "5")
    mask_and_data = b"\0\0\0\0hello"
    for byte in b"\x82\x85" + mask_and_data:
        client.writer.write(bytes([byte]))
        await client.writer.drain()

    assert (await client.rest())[0] == b"hello"


@pytest.mark.parametrize(
    ("command", "why"), [("/nonexistent", "cannot execute"), ("", "cannot execute")]
)
async def test_start_that_fails(site: Site, command: str, why: str) -> None:
    """A command that cannot be started closes with 1011 and the reason."""
    client = await site.exec()
    await client.start(command)
    _, _, (code, reason) = await client.rest()

    assert code == 1011
    assert reason.startswith(f"failed to spawn process: {why}")


async def test_target_that_does_not_run(site: Site) -> None:
    """A container that is not running is named."""
    client = await site.exec()
    await client.start("true", target="nowhere")

    assert (await client.rest())[2] == (
        1011,
        "failed to spawn process: container 'nowhere' is not running",
    )


@pytest.mark.ours
async def test_what_control_may(site: Site) -> None:
    """Control execs into itself, into admin while that is enabled, and into nothing else."""
    for target, code in [("control", 1000), ("admin", 1000), ("other", 1008)]:
        client = await site.exec("control")
        await client.start("true", target=target)
        assert (await client.rest())[2][0] == code, target
    await site.write({"host-containers": {"admin": {"enabled": False}}})
    client = await site.exec("control")
    await client.start("true", target="admin")

    assert (await client.rest())[2] == (
        1008,
        "container 'control' may not exec into 'admin' while it is disabled",
    )


async def test_second_initialize(site: Site) -> None:
    """One connection runs one process."""
    client = await site.exec()
    await client.start("sleep", "600")
    client.send_json({"Initialize": {"command": ["true"], "target": "admin", "tty": None}})

    assert (await client.rest())[2] == (1008, "process is initialized already")
    await ended(site)


async def test_terminal(site: Site) -> None:
    """With a terminal there is one, of the client's size, and it can be resized."""
    client = await site.exec()
    size = {"rows": 33, "cols": 99}
    await client.start("sh", "-c", SHOW_SIZE, tty={"size": size})
    assert b"33 99" in await client.until(b"ready\r\n")
    client.send_json({"Winch": {"rows": 44, "cols": 111}})
    client.send(BINARY, b"\n")
    output, _, close = await client.rest()

    assert b"44 111" in output
    assert close == (1000, "0")


SHOW_SIZE = "stty size; test -t 0 && test -t 1 && echo ready; read x; stty size"


async def test_terminal_without_a_size(site: Site) -> None:
    """A terminal whose size the client does not know is 24 by 80."""
    client = await site.exec()
    await client.start("stty", "size", tty={"size": None})

    assert (await client.rest())[0] == b"24 80\r\n"


async def test_terminal_end_of_input_leaves_it_open(site: Site) -> None:
    """ContentComplete does not hang up a terminal."""
    client = await site.exec()
    await client.start("sh", "-c", "sleep 0.2; echo still", tty={"size": None})
    client.send_json("ContentComplete")

    assert (await client.rest())[0] == b"still\r\n"


@pytest.mark.parametrize("tty", [None, {"size": None}])
async def test_client_that_vanishes(site: Site, tty: Any) -> None:
    """When the client is gone the process is ended."""
    client = await site.exec()
    await client.start("sh", "-c", "trap '' HUP TERM; echo up; while :; do sleep 60; done", tty=tty)
    await client.until(b"up")
    client.close()

    await ended(site)


async def test_client_that_closes(site: Site) -> None:
    """A client's close is confirmed, and ends the process."""
    client = await site.exec()
    await client.start("sleep", "600")
    client.send(CLOSE, struct.pack(">H", 1000))
    while (frame := await client.receive())[0] != CLOSE:
        pass

    assert frame == (CLOSE, struct.pack(">H", 1000))
    await ended(site)


async def test_close_in_the_midst_of_output(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """A client that closes while output is flowing is confirmed, and no defect shows."""
    for _ in range(20):
        client = await site.exec()
        await client.start("yes")
        await client.until(b"y\n")
        client.send(CLOSE, struct.pack(">H", 1000))
        while (await client.receive())[0] != CLOSE:
            pass
    await ended(site)

    assert not [record for record in caplog.records if record.exc_info]


async def test_slow_reader(site: Site) -> None:
    """A client that does not read holds the process up, not the daemon's memory; then all comes."""
    client = await site.exec()
    await client.start(
        "sh", "-c", "head -c 30000000 /dev/zero; echo done > $0; exit 5", "/dev/null"
    )
    (connection,) = site.listeners["host"].connections
    transport = connection.writer.transport
    await reached(lambda: transport.get_write_buffer_size() >= 64 * 1024)
    (process,) = site.containers.processes
    for _ in range(200):
        await asyncio.sleep(0)
        assert transport.get_write_buffer_size() < 256 * 1024
    assert process.process.poll() is None
    output, _, close = await client.rest()

    assert (len(output), close) == (30_000_000, (1000, "5"))


async def test_output_of_a_child_that_lives_on(site: Site) -> None:
    """What the process wrote comes whole; a child that keeps its output holds up nothing."""
    client = await site.exec()
    await client.start("sh", "-c", "yes & head -c 60000 /dev/zero; sleep 600 & exit 4")
    async with asyncio.timeout(20):
        output, _, close = await client.rest()

    assert output.count(b"\0") == 60_000
    assert close == (1000, "4")


async def test_quiet_child_that_lives_on(site: Site) -> None:
    """Output is waited for half a second after the end, no longer."""
    client = await site.exec()
    await client.start("sh", "-c", "(sleep 0.1; echo late; sleep 600) & exit 0")
    start = asyncio.get_running_loop().time()
    output, _, close = await client.rest()

    assert (output, close) == (b"late\n", (1000, "0"))
    assert 0.4 < asyncio.get_running_loop().time() - start < 5


async def test_endless_output_starves_nobody(site: Site) -> None:
    """While one exec writes without end, others are answered."""
    client = await site.exec()
    await client.start("yes")
    reading = asyncio.create_task(client.rest())
    async with asyncio.timeout(10):
        for _ in range(5):
            assert (await site.ask("GET", "/os")).status == 200
    client.close()
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await reading
    await ended(site)


class TestHeartbeat:
    """Pings and silence, at a quicker pace."""

    @pytest.fixture(autouse=True)
    def pace(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ping every 50 ms, and take 300 ms of silence for a loss."""
        monkeypatch.setattr(session, "PACE", session.Pace(every=0.05, lost=0.3))

    async def test_pings(self, site: Site) -> None:
        """The server pings, and answers pings with what they hold."""
        client = await site.exec()
        await client.start("sleep", "600")
        client.answering = False
        client.send(PING, b"hello")
        found = {await client.receive(), await client.receive(), await client.receive()}
        client.close()

        assert {(PING, b""), (PONG, b"hello")} <= found
        await ended(site)

    async def test_silence(self, site: Site) -> None:
        """A client that answers no ping is lost, and its process ends."""
        client = await site.exec()
        await client.start("sleep", "600")
        await ended(site)
        client.close()


TEXTS = st.sampled_from([b'"ContentComplete"', b'{"Winch":{"rows":1,"cols":70000}}'])
FRAMES = st.lists(
    st.tuples(st.integers(0, 15), st.binary(max_size=20) | TEXTS, st.booleans()), max_size=4
)


@given(frames=FRAMES, tail=st.binary(max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_any_frames(site: Site, frames: list[tuple[int, bytes, bool]], tail: bytes) -> None:
    """Whatever frames come, the connection ends, and no defect of ours shows."""
    client = await site.exec()
    client.send_json({"Initialize": {"command": ["cat"], "target": "admin", "tty": None}})
    for opcode, data, final in frames:
        client.send(opcode, data, final=final)
    client.writer.write(tail)
    client.writer.write_eof()
    everything = await client.reader.read()
    await client.closed()

    assert b"internal error" not in everything


@pytest.mark.ours
async def test_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Every exec is logged: who, where, what, and how it ended."""
    caplog.set_level("INFO", "host.exec")
    client = await site.exec("control")
    await client.start("sh", "-c", "exit 3")
    await client.rest()
    (start, end) = [record.getMessage() for record in caplog.records]

    assert start.startswith(f"exec caller=control uid={os.getuid()} pid={os.getpid()} target=admin")
    assert start.endswith(f"command={json.dumps('sh -c exit 3')}")
    assert 'result="1000 3"' in end


async def ended(site: Site) -> None:
    """Wait until every process was ended by the daemon."""
    async with asyncio.timeout(20):
        for process in site.containers.processes:
            await process.gone.wait()


@pytest.mark.ours
@pytest.mark.parametrize(
    ("target", "words", "expected"),
    [("admin", "true", "exec of host"), ("control", "true", ""), ("admin", "admin rpc", "")],
)
async def test_what_leads_to_root_marks_the_host(
    site: Site, target: str, words: str, expected: str
) -> None:
    """An exec into admin does; one into control, and what asks admin's keeper, does not."""
    touched = Touched(site.directory / "touched.json", "boot", site.house.audit.note)
    site.house.touched = touched
    client = await site.exec()
    await client.start(*words.split(), target=target)
    await client.rest()

    assert (touched.status.by if touched.status else "") == expected
