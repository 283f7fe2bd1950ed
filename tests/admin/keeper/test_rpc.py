"""The keeper's socket with a door that is not open yet: who may ask, and what."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.keeper.rpc import CONNECTIONS_MAX
from contract.rpc import LINE_MAX
from tests.admin.keeper.serving import SECONDS, Keeper, serving


@pytest.fixture
async def keeper(tmp_path: Path) -> AsyncIterator[Keeper]:
    """Give a keeper that serves."""
    async with serving(tmp_path) as one:
        yield one


async def test_status_of_a_door_that_is_starting(keeper: Keeper) -> None:
    """Status answers at once, and says that nobody can log in yet."""
    async with keeper.caller() as caller:
        reply = await caller.ask(b'{"id": 7, "method": "status"}\n')

    assert reply["id"] == 7
    assert reply["result"]["ready"] is False
    assert reply["result"]["problems"] == ["the SSH server is starting"]


async def test_host_keys_of_a_door_that_is_starting(keeper: Keeper) -> None:
    """Host keys that are not there yet are an error that says so."""
    async with keeper.caller() as caller:
        assert await caller.refused(b'{"id": 8, "method": "host-keys"}\n') == (8, "DOOR_NOT_READY")


REFUSED = [
    (b'{"id": 1, "method": "lease"}', (1, "RPC_METHOD")),
    (b'{"id": 1, "method": ""}', (1, "RPC_METHOD")),
    (b'{"id": 1, "method": "lease", "params": {"for": "30m"}}', (1, "RPC_METHOD")),
    (b'{"id": 1, "method": "status", "params": {"x": 1}}', (1, "RPC_PARAMS")),
    (b'{"id": 1, "method": "' + b"\\u0000" * 10_000 + b'"}', (1, "RPC_METHOD")),
    (b'{"id": 1, "method": "' + b"x" * 65_000 + b'", "params": {"x": 1}}', (1, "RPC_METHOD")),
    (b'{"id": 1, "method": "status", "' + b"\\u0001" * 10_000 + b'": 1}', (0, "RPC_MESSAGE")),
    (b'{"' + b"x" * 65_500 + b'": 1}', (0, "RPC_MESSAGE")),
    (b'{"id": "1", "method": "status"}', (0, "RPC_MESSAGE")),
    (b'{"method": "status"}', (0, "RPC_MESSAGE")),
    (b'{"id": 1' + b"0" * 5000 + b', "method": "status"}', (0, "RPC_MESSAGE")),
    (b'{"id": 1' + b"0" * 30 + b', "method": "x"}', (10**30, "RPC_METHOD")),
    (b'{"id": 1e400, "method": "status"}', (0, "RPC_MESSAGE")),
    (b"[" * 60_000, (0, "RPC_MESSAGE")),
    (b'{"id":1,"method":"status","params":{"a":' + b'{"a":' * 10_000, (0, "RPC_MESSAGE")),
    (b"", (0, "RPC_MESSAGE")),
    (b"\xff\x00\xfe", (0, "RPC_MESSAGE")),
    (b"null", (0, "RPC_MESSAGE")),
    (b"x" * LINE_MAX, (0, "RPC_MESSAGE")),
]


@pytest.mark.parametrize(("line", "refused"), REFUSED, ids=range(len(REFUSED)))
async def test_what_is_not_understood(
    keeper: Keeper, line: bytes, refused: tuple[int, str]
) -> None:
    """An error reply with its id, and the connection goes on."""
    async with keeper.caller() as caller:
        assert await caller.refused(line + b"\n") == refused
        assert (await caller.ask(b'{"id": 2, "method": "status"}\n'))["id"] == 2


@given(st.lists(st.binary(max_size=60).map(lambda raw: raw.replace(b"\n", b"")), max_size=6))
def test_garbage_gets_a_reply_for_each_line(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    """Whatever bytes come: one reply a line, never silence, and the service lives."""

    async def talk() -> None:
        async with serving(tmp_path_factory.mktemp("rpc")) as keeper, keeper.caller() as caller:
            for line in lines:
                assert await caller.refused(line + b"\n") == (0, "RPC_MESSAGE")
            assert (await caller.ask(b'{"id": 2, "method": "status"}\n'))["id"] == 2

    asyncio.run(talk())


async def test_requests_in_one_packet_and_in_pieces(keeper: Keeper) -> None:
    """Lines are lines, however they arrive, and replies come in their order."""
    async with keeper.caller() as caller:
        caller.writer.write(b'{"id":1,"method":"status"}\n{"id":2,"method":"x"}\n{"id":3,"me')
        await caller.writer.drain()
        assert [(await caller.reply())["id"] for _ in range(2)] == [1, 2]
        assert (await caller.ask(b'thod":"status"}\n'))["id"] == 3


async def test_a_line_without_an_end_is_cut_off(keeper: Keeper) -> None:
    """A line beyond the limit is refused before it is all there, and the caller is dropped."""
    async with keeper.caller() as caller:
        assert await caller.refused(b"x" * (LINE_MAX + 2)) == (0, "RPC_MESSAGE")
        assert await caller.ended()
    async with keeper.caller() as caller:
        assert (await caller.ask(b'{"id": 2, "method": "status"}\n'))["id"] == 2


async def test_a_caller_who_leaves_disturbs_nobody(keeper: Keeper) -> None:
    """Hanging up in the middle of a line, or before the reply, frees the place."""
    for words in (b"", b'{"id": 1', b'{"id": 1, "method": "status"}\n' * 50):
        for _ in range(CONNECTIONS_MAX + 1):
            async with keeper.caller() as caller:
                caller.writer.write(words)
    async with keeper.caller() as caller:
        assert await _answered(keeper)


async def _answered(keeper: Keeper) -> bool:
    """Whether a caller gets an answer, once those who left are noticed."""
    async with asyncio.timeout(SECONDS):
        while True:
            async with keeper.caller() as caller:
                reply = await caller.ask(b'{"id": 2, "method": "status"}\n')
            if "result" in reply:
                return True


async def test_too_many_callers(keeper: Keeper) -> None:
    """One caller too many is told so at once; when one leaves, there is room again."""
    async with contextlib.AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(keeper.caller()) for _ in range(CONNECTIONS_MAX)]
        for caller in callers:
            assert (await caller.ask(b'{"id": 1, "method": "status"}\n'))["id"] == 1
        async with keeper.caller() as late:
            reply = await late.reply()
            assert reply["error"]["code"] == "BUSY"
            assert await late.ended()
        await callers[0].close()
        assert await _answered(keeper)
        assert (await callers[1].ask(b'{"id": 9, "method": "status"}\n'))["id"] == 9


STRANGER = """
import os, socket, sys
connection = socket.socket(fileno=int(sys.argv[1]))
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
try:
    connection.connect(sys.argv[2])
except PermissionError as error:
    sys.exit(f"kept out: {error.strerror}")
sys.stdout.write(connection.makefile().readline())
"""


@pytest.mark.privileged
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
async def test_a_foreign_uid_is_refused(keeper: Keeper) -> None:
    """The socket keeps others out; where it does not, who asks is looked at."""
    kept_out = await _stranger(keeper.path)
    with _opened_to_all(keeper.path) as path:
        refused = await _stranger(path)

    assert (kept_out.stdout, kept_out.stderr) == (b"", b"kept out: Permission denied\n")
    assert json.loads(refused.stdout) == {
        "id": 0,
        "error": {"code": "REFUSED", "message": "uid 65534 may not ask the keeper", "hint": ""},
    }
    async with keeper.caller() as caller:
        assert (await caller.ask(b'{"id": 2, "method": "status"}\n'))["id"] == 2


@contextlib.contextmanager
def _opened_to_all(path: Path) -> Iterator[Path]:
    """Give the socket a second name, where all may reach and open it."""
    name = Path(f"/tmp/sheltie-rpc-{os.getpid()}.sock")
    path.chmod(0o666)
    name.hardlink_to(path)
    try:
        yield name
    finally:
        name.unlink()


async def _stranger(path: Path) -> subprocess.CompletedProcess[bytes]:
    with socket.socket(socket.AF_UNIX) as one:
        argv = [sys.executable, "-I", "-c", STRANGER, str(one.fileno()), str(path)]
        return await asyncio.to_thread(
            subprocess.run, argv, capture_output=True, pass_fds=[one.fileno()], timeout=SECONDS,
            check=False,
        )  # fmt: skip
