"""The closed room of builds: nothing outlives it, and failures say what they mean."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from contract.errors import FailedError, MachineError, SheltieError
from dev.workshop import Workshop, failure, need_programs, need_room

PROGRAM = """
import sys
from pathlib import Path
from dev.workshop import Workshop
with Workshop.opened(Path(sys.argv[1]), []) as workshop:
    script = 'echo started; exec sleep 1000'
    workshop.run(['sh', '-c', script], hear=lambda line: print(line, flush=True), what='a job')
"""


@pytest.mark.privileged
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_its_builder(tmp_path: Path, how: signal.Signals) -> None:
    """However the builder ends, what it ran ends too, and no mount is left."""
    argv = [sys.executable, "-I", "-c", PROGRAM, str(tmp_path / "room")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as builder:
        assert builder.stdout is not None
        assert builder.stdout.readline() == b"started\n"
        below = [os.pidfd_open(pid) for pid in _descendants(builder.pid)]
        builder.send_signal(how)
        builder.wait()
        poll = select.poll()
        for descriptor in below:
            poll.register(descriptor, select.POLLIN)
        waiting = set(below)
        while waiting:
            ended = {number for number, _ in poll.poll(10_000)}
            assert ended, "a process of the room is still there after ten seconds"
            for number in ended:
                poll.unregister(number)
                os.close(number)
            waiting -= ended
    assert len(below) >= 3
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


@pytest.mark.privileged
def test_the_scratch_directory_is_the_rooms_own(tmp_path: Path) -> None:
    """What is written to scratch in the room never reaches the disk."""
    with Workshop.opened(tmp_path / "room", [tmp_path]) as workshop:
        workshop.run(["touch", str(tmp_path / "room/run/x")], what="touch")
        assert list((tmp_path / "room").iterdir()) == []
        assert workshop.run(["ls", str(tmp_path / "room/run")], what="ls") == ["x"]


@pytest.mark.privileged
def test_a_failing_program_is_an_error_of_one_line(tmp_path: Path) -> None:
    """The error names the job and the last telling line."""
    script = "echo fine; echo 'error: no such thing'; echo bye; exit 3"
    with (
        Workshop.opened(tmp_path / "room", [tmp_path]) as workshop,
        pytest.raises(FailedError, match="the job: error: no such thing"),
    ):
        workshop.run(["sh", "-c", script], what="the job")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("write /x: no space left on device", "NO_ROOM"),
        ("E: Failed to fetch http://x/y  Could not connect", "NO_NETWORK"),
        ("W: Temporary failure in name resolution", "NO_NETWORK"),
        ("error: building at STEP 3", "BUILD_FAILED"),
        ("", "BUILD_FAILED"),
    ],
)
def test_failures_are_told_apart(line: str, code: str) -> None:
    """Lack of room, lack of network and all else have codes of their own."""
    error = failure("a job", ["before", line, "after"])
    assert error.code == code
    assert "\n" not in error.line()


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """A program that is not there and a disk that is too small are named before anything runs."""
    with pytest.raises(MachineError, match="no-such-program is not installed"):
        need_programs("sh", "no-such-program")
    with pytest.raises(MachineError, match="MiB free") as caught:
        need_room(tmp_path, 2**60)
    assert isinstance(caught.value, SheltieError)


def _descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *_descendants(int(child))]
    return found
