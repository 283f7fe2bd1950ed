"""The host's state as far as a look could have changed it; run on the host it prints one object."""

import json
import os
import subprocess
import sys
from pathlib import Path

from dev import snapshot

TREES = ("/etc", "/run", "/var/spool", "/var/tmp", "/dev")
SYSCTLS = ("kernel", "vm", "fs", "net/ipv4", "user")
MOVING = (
    "random/",
    "ns_last_pid",
    "-nr",
    "-state",
    "file-nr",
    "pty/nr",
    "lowmem",
    "cad_pid",
    "quota/",
)
# Not /proc/locks: it is the whole machine's; attempts.py looks there for its own.
TABLES = (
    ["ip", "addr"], ["ip", "route"], ["ipcs"], ["hostname"],
    ["cat", "/proc/modules"], ["cat", "/proc/swaps"],
)  # fmt: skip


def main() -> None:
    """Take it: argv[1] is the victim's place, argv[2] its pid."""
    place, pid = sys.argv[1:3]
    state: dict[str, list[str]] = {**snapshot.take()}
    for top in (place, *TREES):
        state[top] = sorted(_tree(Path(top), contents=top == place))
    state["sysctl"] = sorted(_sysctls())
    state["cgroups"] = sorted(path for path, _, _ in os.walk("/sys/fs/cgroup"))
    for argv in TABLES:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        state[" ".join(argv)] = done.stdout.splitlines()
    state["victim"] = [
        Path(f"/proc/{pid}/{name}").read_text()
        for name in ("comm", "oom_score_adj", "limits", "cgroup", "coredump_filter", "loginuid")
    ] + [str(os.getpriority(os.PRIO_PROCESS, int(pid))), str(os.sched_getaffinity(int(pid)))]
    json.dump(state, sys.stdout)


def _tree(top: Path, *, contents: bool) -> list[str]:
    found = []
    for directory, names, files in os.walk(top):
        for name in (*names, *files, "."):
            path = Path(directory, name)
            at = path.lstat()
            line = f"{path} {at.st_mode:o} {at.st_uid}:{at.st_gid} {at.st_size} {at.st_nlink}"
            if top != Path("/dev"):  # its nodes are the machine's, and change with its daemons
                line += f" {at.st_mtime_ns} {at.st_ctime_ns}"
            if contents and path.is_file() and not path.is_symlink():
                line += f" {at.st_atime_ns} {path.name} {os.listxattr(path)}"
            found.append(line)
    return found


def _sysctls() -> list[str]:
    found = []
    for base in SYSCTLS:
        for directory, _, names in os.walk(f"/proc/sys/{base}"):
            for name in names:
                path = f"{directory}/{name}"
                if not any(part in path for part in MOVING):
                    try:
                        found.append(f"{path} {Path(path).read_bytes()!r}")
                    except OSError:
                        found.append(f"{path} not readable")
    return found


if __name__ == "__main__":
    main()
