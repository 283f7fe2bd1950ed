"""What a ledger leaves out, what it cannot know and says so, and entries without a session."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from admin.ledger.listener import WAITING_MAX
from admin.ssh.protocol import Execute
from contract import chain, places
from tests.admin.end.inside import in_box, on_host
from tests.admin.ledger.ledgered import Ledgered, ledgered
from tests.admin.session.seam import session
from tests.admin.sheltie.conftest import SHELTIE, Box, box
from tests.admin.sheltie.test_terminal import wait_for

__all__ = ["box"]
pytestmark = [pytest.mark.privileged, pytest.mark.timeout(180)]

READING = "ls -lR /etc >/dev/null; ps -e | cat >/dev/null; cat /proc/mounts >/dev/null"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("runs", [4, pytest.param(50, marks=pytest.mark.soak)])
def test_a_session_that_only_reads_has_an_empty_ledger(ledger: Ledgered, runs: int) -> None:
    """Nothing is named where nothing was changed, however often."""
    assert [ledger.session(READING) for _ in range(runs)] == [[]] * runs


def test_what_comes_and_goes_is_not_named(ledger: Ledgered) -> None:
    """Of a file that was made and removed, and of one renamed there and back, nothing is left."""
    ledger.box.on_host("sh", "-c", "echo x >/run/back")
    came = "mkdir /run/c1; touch /run/c1/f; rm -r /run/c1"
    lines = ledger.session(f"{came}; mv /run/back /run/there; mv /run/there /run/back")

    assert [line for line in lines if "/run/c1" in line or "/run/there" in line] == []


def test_what_others_do_is_not_named(ledger: Ledgered) -> None:
    """Files and mounts of the host's own processes are none of a session's."""

    def work() -> None:
        ledger.box.on_host("sh", "-c", "mkdir /run/o1; touch /run/o2; mount -t tmpfs o /run/o1")

    assert ledger.session("true", meanwhile=work) == []


def test_each_session_has_its_own_deeds(ledger: Ledgered) -> None:
    """What one session did stands in no other's ledger."""
    inner: list[list[str]] = []
    outer = ledger.session(
        "touch /run/outer", meanwhile=lambda: inner.append(_other(ledger, "touch /run/inner"))
    )

    assert ["inner" in line for line in inner[0]] == [True], inner
    assert ["outer" in line for line in outer] == [True], outer


def _other(ledger: Ledgered, command: str) -> list[str]:
    script = ledger.box.state / "other"
    script.write_text(command)
    return ledger.session(f"sh {script}")


def test_a_listening_socket_is_named(ledger: Ledgered) -> None:
    """One that a daemon of the host's opened meanwhile is named, not as the session's."""
    listen = "import socket, signal; s = socket.create_server(('127.0.0.1', 4711)); signal.pause()"
    argv = [*on_host(ledger.box), sys.executable, "-I", "-c", listen]
    daemons = []

    def work() -> None:
        daemons.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL))
        wait_for(lambda: "4711" in ledger.box.on_host("ss", "-Hltn"))

    try:
        lines = ledger.session("true", meanwhile=work)
    finally:
        for one in daemons:
            (child,) = Path(f"/proc/{one.pid}/task/{one.pid}/children").read_text().split()
            os.kill(int(child), signal.SIGKILL)
            one.wait()
    assert any(re.match(r"socket added: tcp 127.0.0.1:4711; meanwhile", one) for one in lines), (
        lines
    )


def test_an_entry_without_a_session_is_kept(ledger: Ledgered) -> None:
    """Under `apiclient exec` there is nobody to tell; the record is there all the same."""
    done = ledger.exec("sh", "-c", "sleep 0.2; touch /run/by-exec")
    assert done.returncode == 0, done.stderr

    wait_for(lambda: "/run/by-exec" in [one["name"] for one in ledger.listed()], 30)
    (found,) = [one for one in ledger.listed() if one["name"] == "/run/by-exec"]
    assert (found["session"], found["what"], found["whose"]) == ("exec", "created", "session")


def test_who_is_left_running_is_named(ledger: Ledgered) -> None:
    """An orphan that no unit looks after is named, with whose left open, and ended by number."""

    def orphan() -> None:
        ledger.box.on_host("sh", "-c", "setsid -f sleep 7500 </dev/null >/dev/null 2>&1")

    lines = ledger.session("true", meanwhile=orphan)

    assert [one for one in lines if one.startswith("process left running: ")] != []
    listed = [one["number"] for one in ledger.listed() if one["name"].endswith(" sleep")]
    done = ledger.leftovers("--undo", "--yes", *map(str, listed))
    assert done.returncode == 0, done.stderr
    wait_for(lambda: ledger.box.on_host("pgrep", "-fx", "sleep 7500") == "")


def test_it_goes_into_the_audit(ledger: Ledgered) -> None:
    """Each change is in admin's audit, a chain that holds."""
    ledger.session("touch /run/audited")

    files = f"cat {places.ADMIN_AUDIT}/*.jsonl"
    lines = ledger.box.run(ledger.box.argv("sh", "-c", files)).stdout.splitlines(keepends=True)
    assert chain.verify(lines).faults == ()
    told = [chain.read(line).record["event"] for line in lines]
    changed = [one["changes"] for one in told if one["code"] == "host.changed"]
    assert ["/run/audited" in line for line in changed[-1]] == [True]


def test_a_session_that_dies_is_recorded_too(ledger: Ledgered) -> None:
    """When the session process is killed its ledger is closed without it."""
    with session(before=in_box(ledger.box)) as seam:
        words = " ".join([*SHELTIE, "--", "sh", "-c", "'touch /run/died; echo up; read x'"])
        seam.ask(Execute(words.encode()))
        assert seam.line() == b"up\n"
        task = Path(f"/proc/{seam.process.pid}/task/{seam.process.pid}/children")
        os.kill(int(task.read_text().split()[0]), signal.SIGKILL)

    wait_for(lambda: "/run/died" in [one["name"] for one in ledger.listed()], 30)


def test_an_overflow_is_said(box: Box) -> None:
    """A queue that is too short for what happens is named; the rest of the ledger is there."""
    with ledgered(box, "bounded") as own:
        listener = own.listener()

        def flood() -> None:
            os.kill(listener, signal.SIGSTOP)
            try:
                many = "import os\nfor n in range(20000): os.close(os.open(f'/run/x{n}', 65))"
                script = own.box.state / "flood"
                script.write_text(many)
                own.box.on_host("python3", "-I", str(script))
            finally:
                os.kill(listener, signal.SIGCONT)

        lines = own.session("sysctl -w net.ipv4.ip_default_ttl=77", meanwhile=flood)

    assert any(line.startswith("OVERFLOW") for line in lines), lines
    assert any(line.startswith("sysctl changed: net/ipv4/ip_default_ttl") for line in lines)


def test_a_listener_that_dies_is_said_and_comes_again(box: Box) -> None:
    """A session during which nobody listened says so; the next one is watched again."""
    with ledgered(box) as own:

        def strike() -> None:
            os.kill(own.listener(), signal.SIGKILL)

        lines = own.session("sysctl -w net.ipv4.ip_default_ttl=78", meanwhile=strike)
        assert "files were not watched all the time" in lines
        wait_for(own.is_ready, 30)
        assert any("/run/again" in line for line in own.session("touch /run/again"))


def test_many_files_are_bounded(ledger: Ledgered) -> None:
    """A session that touches more than is kept is told how much more there is."""
    assert WAITING_MAX > 9000
    many = "import os\nfor n in range(5000): os.close(os.open(f'/run/many{n}', 65))"
    script = ledger.box.state / "many"
    script.write_text(many)
    lines = ledger.session(f"python3 -I {script}")

    assert any(
        re.fullmatch(r"CHANGED and \d+ more things|and \d+ more things", one) for one in lines
    )
    assert any(
        re.match(r"there are \d+ more changes of files than are named", one) for one in lines
    )
