"""Nobody is left: said only where it is certain, by a process that looks at its own descent."""

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.privileged, pytest.mark.timeout(60)]

# Each as a session's process of its own. It prints what it found once `LEFT` has happened.
LOOK = """
import dataclasses, os, select, signal, subprocess, sys, time
from admin.end import members
from admin.end.marks import Marks

def wait_for(what):
    end = time.monotonic() + 20
    while not what() and time.monotonic() < end:
        select.select([], [], [], 0.01)

def sure(marks):
    # Others may fork during every look: ask until there is a moment's rest.
    found = []
    wait_for(lambda: found.append(members.nobody(marks)) or found[-1])
    return found[-1]

marks = Marks.make(0)
bare = dataclasses.replace(marks, audit=2**32 - 1, cgroup=None)
try:
    LEFT
finally:
    marks.kill()
    marks.remove()
"""
CASES = {
    "nobody": "print(sure(marks))",
    "a dead child": "os.fork() or os._exit(0); print(sure(marks))",
    "a child": """
    child = subprocess.Popen(["sleep", "60"]); print(members.nobody(bare)); child.kill()""",
    "an orphan": """
    done = subprocess.run(["sh", "-c", "setsid sleep 60 >/dev/null 2>&1 & echo $!"],
        stdout=subprocess.PIPE)
    print(members.nobody(bare)); os.kill(int(done.stdout), signal.SIGKILL)""",
    "somebody in the cgroup": """
    other = subprocess.Popen(["sleep", "60"])
    (marks.cgroup / "cgroup.procs").write_text(str(other.pid))
    members._has_children = lambda: False
    print(members.nobody(dataclasses.replace(marks, audit=2**32 - 1))); other.kill(); other.wait()
    wait_for(lambda: not marks.populated())""",
    "a bearer of the audit session id": """
    other = subprocess.Popen(["sleep", "60"])
    members._has_children = lambda: False
    print(members.nobody(dataclasses.replace(marks, cgroup=None))); other.kill(); other.wait()""",
    "a kernel that counts no forks": "members.births = lambda: None; print(members.nobody(bare))",
    "somebody born during each look": """
    counts = iter(range(1000)); members.births = lambda: next(counts)
    print(members.nobody(bare))""",
}
SURE = {"nobody", "a dead child"}


@pytest.mark.parametrize("case", CASES)
def test_nobody_is_left_only_where_that_is_certain(case: str) -> None:
    """A child, an orphan, a member of the cgroup, a bearer, a birth: each denies it alone."""
    program = LOOK.replace("LEFT", CASES[case].strip())
    argv = [sys.executable, "-I", "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=50)

    assert str(case in SURE) == done.stdout.strip(), done.stderr
