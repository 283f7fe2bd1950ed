"""kill -9 at each call that writes: what was told is there, and the chain is whole and goes on."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from contract.audit import check
from contract.audit.segments import Segments
from contract.chain import Head
from contract.event import AuditRepaired, DaemonEnded, DaemonStarted
from host.audit.trail import Trail

CRASHER = Path(__file__).with_name("crasher.py")


def small(directory: Path) -> Trail:
    """Return an audit of small segments, which nothing of is dropped."""
    return Trail(Segments(directory, segment_max=1000, kept=50))


@pytest.mark.timeout(180)
def test_every_write(tmp_path: Path) -> None:
    """Whichever call is the last one: no told event is lost, and every start goes on cleanly."""
    template = tmp_path / "template"
    before = small(template)
    before.start()
    before.note(DaemonStarted("0", 1, "none", 4))
    repaired = 0
    for limit in range(1, 200):
        directory = tmp_path / str(limit)
        shutil.copytree(template, directory)
        argv = [sys.executable, "-I", os.fspath(CRASHER), os.fspath(directory), str(limit)]
        done = subprocess.run(argv, check=False, capture_output=True, timeout=30)
        assert done.returncode in {0, -signal.SIGKILL}, done.stderr.decode()
        told = [line.split() for line in done.stdout.decode().splitlines()]
        heads = [Head.parse(line[1]) for line in told]
        after = small(directory)
        after.start()
        after.note(DaemonEnded("later"))
        for head in heads[-1:]:
            report = check.check(directory, witness=head)
            assert report.faults == (), limit
        assert check.check(directory).faults == (), limit
        assert not after.problems
        events = [entry.event for _, entry in check.entries(directory)]
        assert events[-1] == DaemonEnded("later")
        repaired += any(isinstance(event, AuditRepaired) for event in events)
        if done.returncode == 0:
            break
    else:
        pytest.fail("the trap was always sprung")
    assert repaired >= 3
