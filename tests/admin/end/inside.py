"""How a session's process comes into the box, and into the host's cgroups."""

from pathlib import Path

from admin.end.marks import own_cgroup
from tests.admin.sheltie.conftest import Box

__all__ = ["in_box", "on_host"]


def in_box(box: Box) -> list[str]:
    """Return the words that start something in the box, and in its host's cgroups too."""
    return _inside(box, box.argv())


def on_host(box: Box) -> list[str]:
    """Return the words that start something on the host, and in its cgroups too."""
    return _inside(box, ["nsenter", "-t", str(box.host), "-a", "--"])


def _inside(box: Box, argv: list[str]) -> list[str]:
    # nsenter moves into namespaces, not into cgroups.
    mine = Path("/proc/self/mountinfo").read_text()
    _, place = own_cgroup(mine, Path(f"/proc/{box.pid}/cgroup").read_text())
    return ["sh", "-c", f'echo $$ >{place}/cgroup.procs && exec "$@"', "sh", *argv]
