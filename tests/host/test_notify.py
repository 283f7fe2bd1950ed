"""A service manager, played by a datagram socket: what the daemon tells it, and whom else."""

import os
import signal
import socket
import sys

import pytest

from host.notify import Notifier
from tests.host.test_daemon import Site, end, site

__all__ = ["site"]


class Manager:
    """The manager's end."""

    def __init__(self, address: str) -> None:
        self.channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.channel.bind(address)
        self.channel.settimeout(20)

    def hear(self) -> list[str]:
        """Return the words of the next datagram."""
        return self.channel.recv(4096).decode().split("\n")


@pytest.mark.parametrize("abstract", [False, True])
def test_ready_watchdog_stopping(site: Site, abstract: bool) -> None:
    """READY with a status once it serves, WATCHDOG in half its time, STOPPING at the end."""
    site.state.parent.mkdir(exist_ok=True)
    path = f"sheltie-test-{os.getpid()}" if abstract else str(site.state.parent / "notify")
    manager = Manager(f"\0{path}" if abstract else path)
    address = f"@{path}" if abstract else path
    daemon = site.start(env={**os.environ, "NOTIFY_SOCKET": address, "WATCHDOG_USEC": "400000"})
    with manager.channel:
        heard = [manager.hear() for _ in range(4)]
        ready = ["READY=1", "STATUS=runtime none; 1 problems: hostd status"]
        assert ready in heard
        assert heard.count(["WATCHDOG=1"]) == 3
        assert site.ask("GET", "/os").status == 200
        assert end(daemon, signal.SIGTERM)[0] == 0
        manager.channel.settimeout(0)
        rest = []
        while True:
            try:
                rest.append(manager.hear())
            except BlockingIOError:
                break
    assert [one for one in rest if one != ["WATCHDOG=1"]] == [["STOPPING=1"]]


def test_a_watchdog_of_another_process(site: Site) -> None:
    """WATCHDOG_PID names for whom the environment is meant."""
    environment = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}

    assert Notifier.taken(environment) == Notifier("/x", 0.0)
    assert environment == {}
    mine = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())}
    assert Notifier.taken(mine) == Notifier("\0x", 1.0)


def test_what_the_daemon_starts_does_not_inherit_it(site: Site) -> None:
    """A runtime would tell the manager that it is ready in the daemon's place."""
    seen = site.state.parent / "seen"
    code = f"import os; open({str(seen)!r}, 'w').write(repr(sorted(os.environ)))"
    program = site.state.parent / "reboot"
    program.write_text(f"#!{sys.executable} -I\n{code}\n")
    program.chmod(0o700)
    manager = Manager(str(site.state.parent / "notify"))
    environment = {**os.environ, "NOTIFY_SOCKET": str(site.state.parent / "notify")}
    site.start("--reboot-command", str(program), env={**environment, "WATCHDOG_USEC": "30000000"})
    with manager.channel:
        assert site.ask("POST", "/actions/reboot").status == 204

    assert "PATH" in seen.read_text()
    assert "NOTIFY_SOCKET" not in seen.read_text()
    assert "WATCHDOG" not in seen.read_text()


def test_no_manager_stops_nobody(site: Site) -> None:
    """A socket that is gone is a line in the log."""
    daemon = site.start(env={**os.environ, "NOTIFY_SOCKET": "/nowhere/notify"})
    assert daemon.stderr is not None

    assert daemon.stderr.readline().startswith('WARNING not-notified what="READY=1" why=')
    assert site.ask("GET", "/os").status == 200
