"""The respawner: starts again what ended, ends what it started, gives up on what cannot live."""

import os
import signal
import subprocess
import sys
from pathlib import Path

ARGV = [sys.executable, "-I", "-m", "dev.respawn"]


def test_a_killed_command_is_started_again_and_ended_with_us(tmp_path: Path) -> None:
    """Each start is told through a FIFO; after TERM to the respawner nothing of it is left."""
    fifo = tmp_path / "told"
    os.mkfifo(fifo)
    script = f"import os, time; open({str(fifo)!r}, 'w').write('%8d' % os.getpid()); time.sleep(60)"
    command = [*ARGV, sys.executable, "-I", "-c", script]
    process = subprocess.Popen(command)
    first = int(fifo.read_text())
    os.kill(first, signal.SIGKILL)
    second = int(fifo.read_text())
    process.terminate()

    assert process.wait(timeout=20) == 0
    assert first != second
    assert not Path(f"/proc/{second}").exists()


def test_a_command_that_ends_at_once_is_given_up() -> None:
    """After five brief runs in a row the respawner leaves with the command's status."""
    done = subprocess.run([*ARGV, sys.executable, "-I", "-c", "exit(3)"], check=False, timeout=30)

    assert done.returncode == 3
