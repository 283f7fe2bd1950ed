"""Keys handed over: for one enabling, beside what the owner set, disturbing nobody."""

import subprocess
from pathlib import Path

import pytest

from tests.e2e.host import Host, make_key, wait_for
from tests.e2e.terminal import Terminal

pytestmark = [pytest.mark.e2e, pytest.mark.image, pytest.mark.privileged, pytest.mark.timeout(180)]


def test_a_key_of_one_enabling_is_gone_at_the_next(host: Host, tmp_path: Path) -> None:
    """A key handed over lets in until admin is disabled, and not at the next enabling."""
    first, first_key = make_key(tmp_path, "first")
    second, second_key = make_key(tmp_path, "second")
    host.disable()
    host.enable(first_key)
    assert host.ssh("true", identity=first).returncode == 0
    host.disable()
    host.enable(second_key)

    assert host.ssh("true", identity=second).returncode == 0
    refused = host.ssh("true", identity=first)
    assert refused.returncode == 255
    assert b"Permission denied" in refused.stderr


def test_a_second_operators_key_throws_nobody_out(host: Host, tmp_path: Path) -> None:
    """While one operator is logged in, another hands over a key and gets in; the first stays."""
    first, first_key = make_key(tmp_path, "first")
    second, second_key = make_key(tmp_path, "second")
    host.disable()
    host.enable(first_key)
    with Terminal(host.ssh_argv(identity=first, options=["-tt"])) as terminal:
        terminal.keys("echo in-$((1 + 1))\r")
        terminal.expect("in-2")
        host.enable(second_key)
        wait_for("the second key lets in", lambda: not host.ssh("true", identity=second).returncode)
        terminal.keys("echo still-$((1 + 2))\r")
        terminal.expect("still-3")
        terminal.keys("exit\r")
        terminal.wait()


def test_status_says_for_whom_the_door_is_open(host: Host, tmp_path: Path) -> None:
    """Control's status names the key that was handed over, and that there is no lease."""
    _, key = make_key(tmp_path, "somebody")
    host.disable()
    assert "SHUT" in host.text("control", "control", "status")
    host.enable(key)
    text = host.text("control", "control", "status")

    assert "OPEN, NO LEASE" in text
    assert "somebody@example" in text


def test_the_host_key_printed_is_the_real_one(admin: Host) -> None:
    """The known_hosts line that enabling prints is what the port shows."""
    ssh = admin.up["ssh"]
    scan = subprocess.run(
        ["ssh-keyscan", "-t", "ed25519", "-p", str(ssh["port"]), ssh["host"]],
        capture_output=True,
        check=True,
        timeout=30,
    )
    known = Path(ssh["known_hosts"]).read_text().split("\n")

    assert scan.stdout.decode().split("\n")[0].strip() in known


def test_the_host_key_stays_from_one_enabling_to_the_next(host: Host) -> None:
    """Disabling and enabling keeps the host key."""
    before = host.enable(host.own_key())["known_hosts"]
    host.disable()

    assert before == host.enable(host.own_key())["known_hosts"]
