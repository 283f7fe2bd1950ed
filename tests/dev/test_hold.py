"""The holder of a measured server counts what the server itself does not see."""

import json
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.timeout(60)

SECONDS = 30
BURN = "import time\nwhile time.process_time() < 0.5: pass"
# The one in the middle ends at once: the burner is nobody's child but the subreaper's.
SERVER = '("$0" -I -c "$1" &); exec sleep 300'


def test_the_cost_of_an_orphan_is_counted() -> None:
    """Its CPU counts once it is gone, and at the end nothing is left."""
    argv = [sys.executable, "-I", "-m", "dev.hold", "sh", "-c", SERVER, sys.executable, BURN]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True, bufsize=1) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        deadline = time.monotonic() + SECONDS
        seen = {"live": 0.0, "cpu": 0.0, "memory": 0.0}
        while seen["live"] != 1 or seen["cpu"] < 0.5:
            assert time.monotonic() < deadline, seen
            holder.stdin.write("\n")
            seen = json.loads(holder.stdout.readline())
        holder.stdin.close()

        assert holder.wait(SECONDS) == 0
        assert 0.5 <= seen["cpu"] < 5
        assert seen["memory"] > 0
