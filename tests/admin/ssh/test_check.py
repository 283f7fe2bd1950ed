"""The self-check: what it sees of a good door, and of doors that are not what they should be."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko  # type: ignore[import-untyped]
import pytest

from admin.keeper import checking
from admin.ssh.check import check
from tests.admin.ssh.door import Door


@pytest.mark.privileged
async def test_a_good_door(door: Door) -> None:
    """Version, host key, both refusals; and the operator sees no more than a refusal of it."""
    shown = await checking.run((door.host, door.port), "root", door.directory / "etc/ssh")

    assert shown.ok, shown
    assert len(shown.seen) == 4
    assert "is the stored one" in shown.seen[1]


@pytest.mark.privileged
@pytest.mark.parametrize("profile", ["default", "strict"])
async def test_it_speaks_both_profiles(door: Door, profile: str) -> None:
    """The check is no reason to offer anything."""
    from admin.ssh.control import Wishes

    await door.configure(door.key, algorithms=Wishes(profile))
    shown = await checking.run((door.host, door.port), "root", door.directory / "etc/ssh")

    assert shown.ok, shown


@pytest.mark.privileged
async def test_another_host_key_than_the_stored_one(door: Door, tmp_path: Path) -> None:
    """Whoever answers there is not this host."""
    shown = await checking.run((door.host, door.port), "root", tmp_path / "elsewhere")

    assert not shown.ok
    assert "is not one that is stored" in shown.seen[-1]


async def test_nobody_answers(tmp_path: Path) -> None:
    """A closed port is a result, not an error."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = server.getsockname()[:2]
    shown = await checking.run(where, "root", tmp_path)

    assert not shown.ok
    assert "refused" in shown.seen[-1]


class Open(paramiko.ServerInterface):  # type: ignore[misc]
    """A server that lets everybody in."""

    def check_auth_none(self, username: str) -> int:
        """Let in."""
        return int(paramiko.AUTH_SUCCESSFUL)

    def get_allowed_auths(self, username: str) -> str:
        """Offer what we must not."""
        return "password,publickey"


class Passwords(Open):
    """A server that offers passwords."""

    def check_auth_none(self, username: str) -> int:
        """Keep out."""
        return int(paramiko.AUTH_FAILED)


@contextmanager
def serving(
    interface: paramiko.ServerInterface, version: str, directory: Path
) -> Iterator[tuple[str, int]]:
    """Serve one connection with a key that is stored."""
    key = paramiko.ECDSAKey.generate()
    public = f"{key.get_name()} {key.get_base64()}\n"
    (directory / "ssh_host_ecdsa_key.pub").write_text(public)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            transport = paramiko.Transport(connection)
            transport.local_version = version
            transport.add_server_key(key)
            transport.start_server(threading.Event(), interface)
            transport.join(20)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[:2]
        thread.join(30)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("interface", "version", "words"),
    [
        (Open(), "SSH-2.0-Sheltie", "none LETS IN"),
        (Passwords(), "SSH-2.0-Sheltie", "the server offers"),
        (Passwords(), "SSH-2.0-OpenSSH_9.9", "another server answers"),
    ],
)
async def test_a_door_that_is_not_ours(
    tmp_path: Path, interface: paramiko.ServerInterface, version: str, words: str
) -> None:
    """What lets in, offers passwords or is somebody else is found out."""
    with serving(interface, version, tmp_path) as (host, port):
        shown = await asyncio.to_thread(check, host, port, "root", tmp_path)

    assert not shown.ok
    assert words in shown.seen[-1]
