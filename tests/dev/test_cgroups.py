"""Where a process's cgroups lie: version 1, hybrid, and version 2 alone."""

from pathlib import Path

from dev.cgroups import hierarchies

HYBRID = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
MEMBERSHIP = """\
9:name=systemd:/
4:memory:/parent/child
1:cpu:/
0::/
"""


def test_a_hybrid_machine_has_every_hierarchy() -> None:
    """Version 1 controllers, the named hierarchy and version 2, each with the process's place."""
    found = {
        one.name: (one.kind, one.options, str(one.here)) for one in hierarchies(HYBRID, MEMBERSHIP)
    }

    assert found == {
        "cpu": ("cgroup", "cpu", "/sys/fs/cgroup/cpu"),
        "memory": ("cgroup", "memory", "/sys/fs/cgroup/memory/parent/child"),
        "systemd": ("cgroup", "name=systemd", "/sys/fs/cgroup/systemd"),
        "unified": ("cgroup2", "", "/sys/fs/cgroup/unified"),
    }


def test_version_2_alone() -> None:
    """A machine with version 2 alone has one hierarchy."""
    mountinfo = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
    (found,) = hierarchies(mountinfo, "0::/user.slice/session-1.scope\n")

    assert found.here == Path("/sys/fs/cgroup/user.slice/session-1.scope")


def test_a_mount_of_a_part_is_resolved_against_its_root() -> None:
    """Where the mount shows a part of the hierarchy, the place is relative to that part."""
    mountinfo = "30 23 0:26 /part /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    (found,) = hierarchies(mountinfo, "0::/part/mine\n")

    assert found.here == Path("/sys/fs/cgroup/mine")
