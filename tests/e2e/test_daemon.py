"""The daemon may die: containers and settings are as they were, and sessions live on."""

import json

import pytest

from tests.e2e.host import Host, wait_for
from tests.e2e.terminal import Terminal

pytestmark = [pytest.mark.e2e, pytest.mark.image, pytest.mark.privileged, pytest.mark.timeout(120)]


def host_status(host: Host) -> dict[str, object]:
    """Return the daemon's own status, or nothing while it does not answer."""
    done = host.run("control", "apiclient", "raw", "-u", "/sheltie/v1/status", check=False)
    return json.loads(done.stdout) if not done.returncode else {}


def running(host: Host) -> list[dict[str, object]]:
    """Return the containers that run; since when others do not is each daemon's own word."""
    return [one for one in host.containers() if one["enabled"]]


def test_killing_the_daemon_loses_nothing(admin: Host) -> None:
    """After kill -9 the daemon comes back with the same settings and running containers."""
    settings = admin.text("control", "apiclient", "get", "settings")
    before, containers = host_status(admin), running(admin)
    with Terminal(admin.ssh_argv(options=["-tt"])) as terminal:
        terminal.keys("echo up-$((1 + 1))\r")
        terminal.expect("up-2")
        admin.run("host", "kill", "-9", str(before["pid"]))
        wait_for(
            "the daemon is back",
            lambda: host_status(admin).get("pid", before["pid"]) != before["pid"],
        )
        terminal.keys("echo still-$((1 + 2))\r")
        terminal.expect("still-3")
        terminal.keys("exit\r")
        terminal.wait()
    after = host_status(admin)

    assert settings == admin.text("control", "apiclient", "get", "settings")
    assert containers == running(admin)
    assert before["door"] == after["door"]
