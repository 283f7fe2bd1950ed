"""The host is what it was: before and after the whole job nothing differs."""

import re
from pathlib import Path

import pytest

from tests.e2e.host import Host, make_key
from tests.e2e.terminal import Terminal

pytestmark = [pytest.mark.e2e, pytest.mark.image, pytest.mark.privileged, pytest.mark.timeout(180)]

TCP_LISTENS = "0A"  # TCP_LISTEN, include/net/tcp_states.h
UNIX_LISTENS = "00010000"  # __SO_ACCEPTCON, include/linux/net.h


def picture(host: Host) -> dict[str, set[str]]:
    """What the host shows of itself: mounts, listening sockets, /etc, processes."""
    etc = host.text("host", "find", "/etc", "-printf", "%p %m %s %T@\\n")
    listing = host.text("host", "sh", "-c", "ls -l /proc/[0-9]*/fd 2>/dev/null || true")
    held = set(re.findall(r"socket:\[(\d+)\]", listing))
    unix = [line for line in proc_net(host, "unix") if line[3] == UNIX_LISTENS and len(line) > 7]
    tcp = [line for name in ("tcp", "tcp6") for line in proc_net(host, name)]
    processes = host.text("host", "ps", "-e", "-o", "pid=,comm=,args=").splitlines()
    # A stand-in shares its network with the machine: what no process of the host holds is not its.
    return {
        "mounts": set(host.text("host", "cat", "/proc/1/mountinfo").splitlines()),
        "etc": set(etc.splitlines()),
        "tcp": {line[1] for line in tcp if line[3] == TCP_LISTENS and line[9] in held},
        "unix": {line[7] for line in unix if line[6] in held},
        "processes": {line for line in processes if not re.search(r" ps -e | \[", line)},
    }


def proc_net(host: Host, name: str) -> list[list[str]]:
    """Return the fields of each line of a table in /proc/net."""
    return [line.split() for line in host.text("host", "cat", f"/proc/net/{name}").splitlines()[1:]]


def test_the_host_is_equal_before_and_after_the_whole_job(host: Host, tmp_path: Path) -> None:
    """Enable, log in, enter the host both ways, disable: mounts, sockets, /etc, processes equal."""
    host.disable()
    before = picture(host)
    identity, key = make_key(tmp_path, "visitor")
    host.enable(key)
    assert host.ssh("sheltie true", identity=identity).returncode == 0
    assert host.ssh("sheltie", identity=identity, stdin=b"echo in\n").stdout == b"in\n"
    with Terminal(host.ssh_argv("sheltie", identity=identity, options=["-tt"])) as terminal:
        terminal.expect(r"[$#] ")
        terminal.keys("exit\r")
        terminal.wait()
    during = picture(host)
    host.disable()
    after = picture(host)

    assert during["tcp"] != before["tcp"]  # the door was seen open, so an equal picture means shut
    assert before == after
