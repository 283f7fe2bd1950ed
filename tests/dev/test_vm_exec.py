"""The way into a virtual machine: the agent's answers, and the port's other side, on a socket."""

import base64
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.errors import TimedOutError, UnavailableError
from dev import vm_agent
from dev.vm_exec import Port


def ask(*argv: str, stdin: bytes = b"") -> dict[str, object]:
    """Have the agent run a command."""
    told = {"id": 7, "argv": argv, "stdin": base64.b64encode(stdin).decode()}
    return vm_agent.serve(json.dumps(told).encode())


def test_output_error_and_status_come_back() -> None:
    """Each stream by itself, byte for byte."""
    answer = ask("sh", "-c", "cat; echo oops >&2; exit 7", stdin=b"\0\xff")

    assert answer["id"] == 7
    assert answer["status"] == 7
    assert base64.b64decode(str(answer["out"])) == b"\0\xff"
    assert base64.b64decode(str(answer["err"])) == b"oops\n"


def test_a_signal_and_a_missing_program() -> None:
    """As a shell tells them."""
    assert ask("sh", "-c", "kill -TERM $$")["status"] == 143
    assert ask("no-such-program-anywhere")["status"] == 127


@pytest.mark.parametrize("request_", [b"{", b"[]", b"{}", b'{"id": 1, "argv": 5, "stdin": ""}'])
def test_a_broken_request_is_answered(request_: bytes) -> None:
    """The agent goes on."""
    assert vm_agent.serve(request_)["status"] == 126


@pytest.fixture
def port(tmp_path: Path) -> Iterator[Port]:
    """A machine whose agent answers on a socket, with the end of an old answer before each."""
    path = tmp_path / "probe.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def play() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer, peer.makefile("rwb") as stream:
                stream.write(b'tail of something"}\n{"id": 1, "status": 0}\n')
                stream.flush()
                for line in stream:
                    stream.write(vm_agent.line(vm_agent.serve(line)))
                    stream.flush()

    player = threading.Thread(target=play)
    player.start()
    yield Port(path)
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    player.join()


def test_a_large_answer_comes_whole(port: Port) -> None:
    """Three megabytes, behind what nobody waited for."""
    answer = port.run("head", "-c", str(3 << 20), "/dev/zero")

    assert (answer.status, len(answer.out), answer.err) == (0, 3 << 20, b"")


def test_many_ask_one_after_another(port: Port) -> None:
    """Each gets its own answer."""
    found: dict[int, bytes] = {}

    def one(number: int) -> None:
        found[number] = port.run("echo", str(number)).out

    threads = [threading.Thread(target=one, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == {number: f"{number}\n".encode() for number in range(5)}


def test_a_silent_machine_and_an_absent_one(tmp_path: Path) -> None:
    """Each wait has an end, and a line that says what to do."""
    with pytest.raises(UnavailableError) as caught:
        Port(tmp_path / "probe.sock").run("true")
    assert "make vm-up" in caught.value.line()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "probe.sock"))
        listener.listen()
        with pytest.raises(TimedOutError):
            Port(tmp_path / "probe.sock").run("true", seconds=0.1)
