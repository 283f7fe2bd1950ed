"""A zygote whose children end at once: it lives on, and each child has its pidfd."""

import os
import select
import socket
from collections.abc import Sequence

import pytest

from admin.ssh.frame import Channel
from admin.ssh.zygote import Spawn, Spawned, prepare, serve

CHILDREN = 500


def at_once(_task: bytes, _descriptors: Sequence[int]) -> int:
    """End."""
    return 0


def test_children_that_end_at_once() -> None:
    """No child is reaped before its pidfd is open: that would be the zygote's own end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if not pid:
        ours.close()
        try:
            serve(Channel(theirs, Spawn), at_once)
        finally:
            os._exit(0)
    theirs.close()
    ours.settimeout(20)
    channel: Channel[Spawn, Spawned] = Channel(ours, Spawned)
    for number in range(CHILDREN):
        channel.send(Spawn(number, b""))
        received = channel.receive()
        assert received is not None
        assert received[0].id == number
        (pidfd,) = received[1]
        assert select.select([pidfd], [], [], 20)[0]
        os.close(pidfd)
    channel.close()

    assert os.waitpid(pid, 0)[1] == 0


def test_a_rehearsal_that_fails(capfd: pytest.CaptureFixture[str]) -> None:
    """The zygote says so in a line, and serves."""

    def fails() -> None:
        raise ValueError("no such cipher")

    pid = os.fork()
    if not pid:
        status = 1
        try:
            prepare(fails)
            status = 0
        finally:
            os._exit(status)

    assert os.waitpid(pid, 0)[1] == 0
    assert "ValueError('no such cipher')" in capfd.readouterr().err
