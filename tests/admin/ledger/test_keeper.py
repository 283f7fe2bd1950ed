"""The keeper's part: the ledger is there before the door, comes again, and ends with the keeper."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from admin.keeper import ledger
from tests.admin.end.inside import in_box
from tests.admin.ledger.ledgered import RECORDS, SOCKET, Ledgered
from tests.admin.sheltie.conftest import PYTHON, Box, box
from tests.admin.sheltie.test_terminal import wait_for

__all__ = ["box"]
pytestmark = [pytest.mark.privileged, pytest.mark.timeout(120)]

KEEP = "import asyncio; from admin.keeper.ledger import keep; asyncio.run(keep())"
SECONDS = 40.0


@contextmanager
def keeper(box: Box) -> Iterator[subprocess.Popen[bytes]]:
    """A process that keeps the ledger in the box, and does nothing else."""
    process = subprocess.Popen(
        [*in_box(box), PYTHON, "-I", "-c", KEEP], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        for child in children(process.pid):
            os.kill(child, signal.SIGKILL)
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()
        box.run(box.argv("rm", "-rf", RECORDS, SOCKET))


def children(pid: int) -> list[int]:
    """Return who was started by a process, as the machine sees them."""
    try:
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except OSError:
        return []


def alive(pid: int) -> bool:
    """Whether a process can still do something."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def test_it_is_kept(box: Box) -> None:
    """A ledger that dies comes again; one whose keeper dies dies too, its listener with it."""
    with keeper(box) as process:
        one = Ledgered(box, process)
        wait_for(one.is_ready, SECONDS)
        (ours,) = children(process.pid)
        (first,) = children(ours)
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: not alive(first), SECONDS)
        wait_for(lambda: children(ours) not in ([], [first]) and one.is_ready(), SECONDS)
        (second,) = children(ours)
        listeners = children(second)
        os.kill(ours, signal.SIGKILL)
        wait_for(lambda: not any(map(alive, [second, *listeners])), SECONDS)


async def test_without_a_host_it_says_why() -> None:
    """Where admin is not superpowered there is no ledger, and no error either."""
    assert ledger._refusal() != ""
    task = asyncio.ensure_future(ledger.keep())
    await asyncio.wait([task], timeout=0.2)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
