"""Paramiko, a client that shares no code with OpenSSH nor with our library."""

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paramiko  # type: ignore[import-untyped]
import pytest

from tests.admin.ssh.door import USER, Door

pytestmark = [pytest.mark.privileged, pytest.mark.timeout(120)]

SECONDS = 30
SIZE = 3_000_001


@contextmanager
def client(door: Door, identity: Path) -> Iterator[Any]:
    """Log in, trusting exactly this door."""
    with paramiko.SSHClient() as made:
        made.load_host_keys(str(door.directory / "known_hosts"))
        made.connect(
            door.host,
            door.port,
            USER,
            key_filename=str(identity),
            look_for_keys=False,
            allow_agent=False,
            timeout=SECONDS,
            channel_timeout=SECONDS,
        )
        yield made


async def beside(work: Callable[[], None]) -> None:
    """Run what blocks beside the door's own loop."""
    await asyncio.wait_for(asyncio.to_thread(work), 2 * SECONDS)


async def test_a_command_with_all_its_streams(door: Door) -> None:
    """Input, output, errors and the exit status."""

    def talk() -> None:
        data = os.urandom(SIZE)
        with client(door, door.identity) as made:
            into, out, err = made.exec_command("sha256sum; echo bad >&2; exit 7", timeout=SECONDS)
            into.write(data)
            into.channel.shutdown_write()

            assert out.read().split()[0].decode() == hashlib.sha256(data).hexdigest()
            assert err.read() == b"bad\n"
            assert out.channel.recv_exit_status() == 7

    await beside(talk)


async def test_a_terminal_and_its_new_size(door: Door) -> None:
    """A shell on a terminal takes keys, a size and another."""

    def talk() -> None:
        with client(door, door.identity) as made:
            channel = made.invoke_shell("xterm", 91, 33)
            channel.settimeout(SECONDS)
            channel.send(b"PS1=; stty size\n")
            _expect(channel, b"33 91")
            channel.resize_pty(77, 22)
            channel.send(b"stty size; exit 5\n")
            _expect(channel, b"22 77")

            assert channel.recv_exit_status() == 5

    await beside(talk)


def _expect(channel: Any, word: bytes) -> None:
    seen = b""
    while word not in seen:
        piece = channel.recv(4096)
        assert piece, seen
        seen += piece


async def test_sftp_there_and_back(door: Door, tmp_path: Path) -> None:
    """Files by many requests under way at once come back whole."""

    def talk() -> None:
        source, there, back = (tmp_path / name for name in ("source", "there", "back"))
        source.write_bytes(os.urandom(SIZE))
        with client(door, door.identity) as made, made.open_sftp() as sftp:
            sftp.put(str(source), str(there))
            assert "there" in sftp.listdir(str(tmp_path))
            sftp.get(str(there), str(back))
            with pytest.raises(FileNotFoundError):
                sftp.stat(str(tmp_path / "nothing"))

        assert back.read_bytes() == source.read_bytes()

    await beside(talk)


async def test_new_keys_in_the_middle(door: Door) -> None:
    """A key exchange that the client asks for interrupts nothing."""

    def talk() -> None:
        with client(door, door.identity) as made:
            into, out, _ = made.exec_command("cat", timeout=SECONDS)
            for _round in range(3):
                into.write(b"line\n")
                into.flush()
                assert out.readline() == "line\n"
                made.get_transport().renegotiate_keys()

    await beside(talk)


async def test_forwards_are_refused(door: Door) -> None:
    """A port that is asked for either way is refused, and the connection lives on."""

    def talk() -> None:
        with client(door, door.identity) as made:
            transport = made.get_transport()
            with pytest.raises(paramiko.ChannelException):
                transport.open_channel("direct-tcpip", ("127.0.0.1", 1), ("127.0.0.1", 2))
            with pytest.raises(paramiko.SSHException):
                transport.request_port_forward("127.0.0.1", 0)
            _, out, _ = made.exec_command("echo still", timeout=SECONDS)
            assert out.read() == b"still\n"

    await beside(talk)
