"""What `admin rpc` and `admin status` do, against a real socket."""

import asyncio
import contextlib
import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from admin.keeper import client, place
from admin.keeper.rpc import CONNECTIONS_MAX
from contract.errors import SheltieError, UnavailableError
from contract.rpc import LINE_MAX
from tests.admin.keeper.serving import SECONDS, serving

STATUS = b'{"id": 1, "method": "status"}\n'


def relayed(path: Path, lines: bytes) -> tuple[int, list[dict[str, Any]]]:
    """Relay lines and return the exit status with the replies."""
    replies = io.BytesIO()
    status = client.relay(path, io.BytesIO(lines), replies)
    return status, [json.loads(line) for line in replies.getvalue().splitlines()]


@contextlib.contextmanager
def playing(path: Path, *acts: Callable[[socket.socket], object]) -> Iterator[None]:
    """Play a keeper that does one act for each connection."""
    with place.bind(path) as listening:
        listening.settimeout(SECONDS)

        def play() -> None:
            for act in acts:
                connection, _ = listening.accept()
                with connection:
                    act(connection)

        thread = threading.Thread(target=play)
        thread.start()
        yield
        thread.join(SECONDS)
        assert not thread.is_alive()


async def test_each_line_has_its_reply(tmp_path: Path) -> None:
    """Good, unknown and broken lines, empty ones between, the last without an end."""
    lines = STATUS + b'\n  \n{"id": 2, "method": "x"}\nrubbish\n' + STATUS.rstrip()
    async with serving(tmp_path) as keeper:
        status, replies = await asyncio.to_thread(relayed, keeper.path, lines)

    assert status == 0
    assert [one["id"] for one in replies] == [1, 2, 0, 1]
    assert ["result" in one for one in replies] == [True, False, False, True]


async def test_a_line_that_is_too_long_is_skipped(tmp_path: Path) -> None:
    """It has its error reply, and the line after it is understood."""
    async with serving(tmp_path) as keeper:
        for size in (LINE_MAX - 1, LINE_MAX, LINE_MAX + 1, 5 * LINE_MAX):
            lines = b"x" * size + b"\n" + STATUS
            _, replies = await asyncio.to_thread(relayed, keeper.path, lines)
            assert [one["id"] for one in replies] == [0, 1]
            assert replies[0]["error"]["code"] == "RPC_MESSAGE"
        _, replies = await asyncio.to_thread(relayed, keeper.path, b"x" * (3 * LINE_MAX))
        assert [one["error"]["code"] for one in replies] == ["RPC_MESSAGE"]


def test_without_a_keeper(tmp_path: Path) -> None:
    """Each line has an error reply with its own id, and the exit status says unavailable."""
    lines = STATUS + b'{"id": 2, "method": "status"}\nrubbish\n'
    status, replies = relayed(tmp_path / "none.sock", lines)

    assert status == UnavailableError.exit_status
    assert [(one["id"], one["error"]["code"]) for one in replies] == [
        (1, "KEEPER_ABSENT"), (2, "KEEPER_ABSENT"), (0, "KEEPER_ABSENT"),
    ]  # fmt: skip


@pytest.mark.parametrize("words", [b"", b'{"id": 1, "res'])
def test_a_keeper_that_dies_and_comes_back(tmp_path: Path, words: bytes) -> None:
    """A question without a whole answer is an error; the next one goes to the new keeper."""

    def dies(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(words)

    def answers(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b'{"id": 1, "result": 5}\n')

    path = tmp_path / "admin.sock"
    with playing(path, dies, answers):
        status, replies = relayed(path, STATUS + STATUS)

    assert status == UnavailableError.exit_status
    assert replies[0]["error"]["code"] == "KEEPER_ABSENT"
    assert replies[1] == {"id": 1, "result": 5}


def test_a_refusal_before_the_question_is_heard(tmp_path: Path) -> None:
    """A keeper that refuses at once and hangs up is not taken for an absent one."""
    refusal = b'{"id": 0, "error": {"code": "BUSY", "message": "busy"}}\n'
    path, gone = tmp_path / "admin.sock", threading.Event()

    def refuses(connection: socket.socket) -> None:
        connection.sendall(refusal)
        connection.close()
        gone.set()

    with playing(path, refuses), contextlib.closing(client.Conversation(path)) as conversation:
        conversation._open()
        assert gone.wait(SECONDS)
        assert conversation.ask(STATUS) == refusal


async def test_a_busy_keeper_says_so(tmp_path: Path) -> None:
    """The caller too many reads BUSY."""
    async with serving(tmp_path) as keeper, contextlib.AsyncExitStack() as stack:
        for _ in range(CONNECTIONS_MAX):
            caller = await stack.enter_async_context(keeper.caller())
            await caller.ask(STATUS)
        with pytest.raises(SheltieError, match="too many callers"):
            await asyncio.to_thread(client.ask_status, keeper.path)


def test_an_answer_without_end_is_none(tmp_path: Path) -> None:
    """No more is read than a reply may have."""

    def pours(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(b"x" * (20 * LINE_MAX))

    path = tmp_path / "admin.sock"
    with playing(path, pours):
        _, (reply,) = relayed(path, STATUS)

    assert reply["error"]["code"] == "KEEPER_ABSENT"


async def test_status(tmp_path: Path) -> None:
    """The status comes as it was sent."""
    async with serving(tmp_path) as keeper:
        found = await asyncio.to_thread(client.ask_status, keeper.path)

    assert (found.ready, found.problems) == (False, ["the SSH server is starting"])


@pytest.mark.parametrize("reply", [b'{"id": 1, "result": {"ready": 5}}\n', b'{"id": 1}\n', b"{\n"])
def test_a_reply_of_another_kind(tmp_path: Path, reply: bytes) -> None:
    """An answer that is no status is an error and no crash."""

    def answers(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(reply)

    path = tmp_path / "admin.sock"
    with playing(path, answers), pytest.raises(SheltieError, match="invalid rpc reply"):
        client.ask_status(path)
