"""What a zygote rehearses leaves nothing behind that a peer, a session or a secret could meet."""

import subprocess
import sys

import pytest

from admin.ssh.blobs import Reader
from tests.admin.ssh.door import Door
from tests.admin.ssh.raw import Raw, reader_three

CONNECTIONS = 8
LEFT = """
import asyncio, ctypes.util, os, sys, threading
ctypes.util.find_library = lambda name: None
from {zygote} import rehearsal
{before}
def held():
    return sorted(os.listdir("/proc/self/fd"))
before = held()
rehearsal.rehearse()
modules = set(sys.modules)
rehearsal.rehearse()
children = open(f"/proc/self/task/{{os.getpid()}}/children").read()
print(held() == before, threading.active_count(), set(sys.modules) == modules, repr(children))
"""
BEFORE = "from admin.ssh import listener, server; server.take_over()"


@pytest.mark.parametrize(
    ("zygote", "before"),
    [("admin.ssh", BEFORE), ("admin.session", "from admin.session import zygote")],
)
def test_a_rehearsal_leaves_nothing(zygote: str, before: str) -> None:
    """No descriptor, no thread, no child; and the second time nothing is left to be loaded."""
    program = LEFT.format(zygote=zygote, before=before)
    argv = [sys.executable, "-I", "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)

    assert (done.stdout, done.stderr) == ("True 1 True ''\n", "")


@pytest.mark.privileged
async def test_children_of_one_zygote_draw_their_own_numbers(door: Door) -> None:
    """Cookies, keys of the exchange and paddings of listeners from one zygote never repeat."""
    drawn: set[bytes] = set()
    for _ in range(CONNECTIONS):
        with Raw(door.host, door.port) as peer:
            peer.exchange()
            reply = next(one for one in peer.seen if one[0] == 31)
            _, public, _ = reader_three(Reader(reply[1:]))
            drawn |= {peer.server_init[1:17], public}

    assert len(drawn) == 2 * CONNECTIONS
