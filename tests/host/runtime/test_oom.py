"""Who is spared when memory ends: tried in a process of its own, whose score may change."""

import subprocess
import sys
from pathlib import Path

CAP_SYS_RESOURCE = 1 << 24

PROGRAM = """
import subprocess
from pathlib import Path
from host.runtime import oom
print(oom.protect())
child = subprocess.Popen(["sleep", "60"])
oom.release(child.pid)
for pid in ("self", str(child.pid)):
    print(Path("/proc", pid, "oom_score_adj").read_text().strip())
child.kill()
child.wait()
oom.release(child.pid)
"""


def test_we_are_protected_or_it_is_said_and_children_never_are() -> None:
    """With CAP_SYS_RESOURCE -999; without it one sentence, and the score that we had."""
    status = Path("/proc/self/status").read_text()
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    before = Path("/proc/self/oom_score_adj").read_text().strip()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
        cwd=Path(__file__).parents[3],
    )
    problem, own, child = done.stdout.splitlines()

    if effective & CAP_SYS_RESOURCE:
        assert (problem, own, child) == ("", "-999", "0")
    else:
        assert "CAP_SYS_RESOURCE" in problem
        assert (own, child) == (before, before)
