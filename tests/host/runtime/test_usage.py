"""Reading cgroups of both versions, from directories that look like them."""

from pathlib import Path

import pytest

from host.runtime.cgroups import Cgroups
from host.runtime.usage import Usage, memory_kills, read

VERSION_1 = "1 1 0:1 / {0}/memory rw - cgroup c rw,memory\n2 1 0:2 / {0}/cpu rw - cgroup c rw,cpu"
VERSION_1 += ",cpuacct\n3 1 0:3 /part {0}/pids rw - cgroup c rw,pids\n"
VERSION_2 = "4 1 0:4 / {0} rw - cgroup2 cgroup2 rw\n"


def fill(directory: Path, **files: str) -> Path:
    """Write files, whose names have __ for a dot."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)
    return directory


def test_version_1(tmp_path: Path) -> None:
    """Each controller has a directory of its own."""
    memory = fill(
        tmp_path / "memory",
        memory__usage_in_bytes="4096\n",
        memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    )
    cpu = fill(tmp_path / "cpuacct", cpuacct__usage="1500000000\n")
    pids = fill(tmp_path / "pids", pids__current="7\n")

    assert read([memory, cpu, pids]) == Usage(4096, 1.5, 7)
    assert memory_kills([memory, cpu, pids]) == 3


def test_version_2(tmp_path: Path) -> None:
    """All is in one directory; what is killed below is not counted twice."""
    top = fill(
        tmp_path,
        memory__current="8192\n",
        memory__events="oom 1\noom_kill 2\n",
        memory__events__local="oom 1\noom_kill 1\n",
        cpu__stat="usage_usec 2500000\nuser_usec 1\n",
        pids__current="3\n",
    )
    below = fill(tmp_path / "below", memory__events__local="oom_kill 1\n")

    assert read([top]) == Usage(8192, 2.5, 3)
    assert memory_kills([top, below]) == 2


def test_what_is_not_counted_is_not_told(tmp_path: Path) -> None:
    """No directory, no controller, an odd file: None, and no error."""
    odd = fill(tmp_path, memory__current="max\n", cpu__stat="usage_usec x\n")

    assert read([odd, tmp_path / "gone"]) == Usage()
    assert memory_kills([odd, tmp_path / "gone"]) == 0


def test_controllers_of_version_1(tmp_path: Path) -> None:
    """They stand among a mount's options; a part of a hierarchy is none that we could use."""
    assert Cgroups.of(tmp_path, VERSION_1.format(tmp_path)).controllers == {"memory", "cpu"}


@pytest.mark.parametrize("given", ["memory pids", ""])
def test_controllers_of_version_2(tmp_path: Path, given: str) -> None:
    """What is offered is asked for, and counts when the kernel has taken it."""
    fill(tmp_path, cgroup__controllers="cpuset memory pids\n", cgroup__subtree_control=given)
    cgroups = Cgroups.of(tmp_path, VERSION_2.format(tmp_path))
    assert cgroups.controllers == frozenset()
    found = cgroups.delegated().controllers

    # A plain file holds the last word written to it, as `+NAME`: nothing that was not given counts.
    assert found == frozenset(given.split())
    asked = (tmp_path / "cgroup.subtree_control").read_text()
    assert asked == given or asked in {"+memory", "+pids"}
