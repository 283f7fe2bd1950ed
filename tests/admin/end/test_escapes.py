"""Nobody gets away: each way out of a session, alone, beside racing forkers, and in pairs."""

import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from admin.sheltie.execution import RECORDS
from admin.ssh.protocol import Execute, Pty, Shell
from tests.admin.end.inside import in_box
from tests.admin.session.seam import Seam, session
from tests.admin.sheltie.conftest import CLONE, PYTHON, SHELTIE, Box, box
from tests.admin.sheltie.test_terminal import wait_for
from tests.admin.sheltie.test_ways import workload
from tests.e2e.host import PATIENCE
from tests.e2e.terminal import Terminal

__all__ = ["box"]
pytestmark = [pytest.mark.privileged, pytest.mark.timeout(240)]

SECONDS = 5 * PATIENCE
WAYS = (
    "setsid", "doublefork", "nohup", "stopped", "tmux", "pidns", "userns", "cloneparent",
    "subreaper", "cgroup", "container", "loginuid",
)  # fmt: skip
PAIRS = (
    "setsid+cgroup",
    "doublefork+cgroup+stopped",
    "cgroup+loginuid",
    "container+cgroup",
    "container+loginuid",
    "subreaper+cgroup",
    "pidns+cgroup",
    "userns+cgroup",
    "cloneparent+cgroup+loginuid",
    "loginuid+tmux",
)
RACE = ",fork,cgroup+fork"


@pytest.fixture(scope="module")
def container(box: Box) -> Iterator[str]:
    """The pid of a container on the host."""
    with workload(box, "7300") as pid:
        yield pid


def remains(box: Box, token: str) -> list[str]:
    """Return who of `token` is alive on the host."""
    listed = box.on_host("ps", "-ww", "-eo", "pid=,stat=,args=").splitlines()
    return [one for one in listed if token in one and one.split()[1][0] not in "ZX"]


def escape(box: Box, seam: Seam, container: str, ways: str) -> str:
    """Go the ways out of a session; returns the token of what got out."""
    token = f"escape-{secrets.token_hex(6)}"
    program = str(Path(__file__).with_name("escapes.py"))
    argv = [*SHELTIE, "--", "env", "-C", str(CLONE), PYTHON, "-I", program, token, container, ways]
    seam.ask(Execute(" ".join(argv).encode()))
    assert seam.line() == b"escaped\n"
    assert remains(box, token) != []
    return token


def cgroups(box: Box) -> list[str]:
    """Return the cgroups of sessions on the host."""
    return box.on_host("sh", "-c", "find /sys/fs/cgroup -name 'session-*'").split()


@pytest.mark.parametrize("race", ["", RACE], ids=["alone", "racing"])
@pytest.mark.parametrize("ways", [*WAYS, *PAIRS])
def test_nobody_gets_away(box: Box, container: str, ways: str, race: str) -> None:
    """When the client is lost all that descends from the session is dead within 5 s."""
    with session(before=in_box(box)) as seam:
        token = escape(box, seam, container, ways + race)
        seam.hang_up()
        begun = time.monotonic()
        wait_for(lambda: not remains(box, token), SECONDS)
        seam.process.wait(SECONDS)
        assert time.monotonic() - begun < SECONDS
    assert (remains(box, token), cgroups(box)) == ([], [])


@pytest.mark.parametrize("way", ["setsid", "cgroup", "container", "loginuid"])
def test_an_exit_ends_them_too(box: Box, container: str, way: str) -> None:
    """An ordinary end of the program is an end of the session as well."""
    with session(before=in_box(box)) as seam:
        token = escape(box, seam, container, way)
        seam.stream.shutdown(1)
        assert seam.exited().status == 0
        wait_for(lambda: not remains(box, token), SECONDS)


def test_a_wish_to_end_ends_them_too(box: Box, container: str) -> None:
    """TERM to the session process does what a lost client does."""
    with session(before=in_box(box)) as seam:
        token = escape(box, seam, container, "setsid,cgroup")
        (child,) = (
            Path(f"/proc/{seam.process.pid}/task/{seam.process.pid}/children").read_text().split()
        )
        subprocess.run(["kill", "-TERM", child], check=True)
        wait_for(lambda: not remains(box, token), SECONDS)


@contextmanager
def executed(box: Box, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run words in the container as `/exec` does: with no session process."""
    argv = [*in_box(box), *words]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def records(box: Box) -> list[str]:
    """Return what is written down of sessions under `/exec`."""
    return box.run(box.argv("ls", RECORDS)).stdout.decode().split()


@pytest.mark.parametrize(
    "ways", ["setsid", "doublefork", "nohup", "stopped", "tmux", "pidns", "userns", "cgroup",
             "container", "cgroup+tmux", "setsid,fork", "cgroup,cgroup+fork"],
)  # fmt: skip
@pytest.mark.parametrize("later", [False, True], ids=["first", "later"])
def test_an_exec_ends_them_too(box: Box, container: str, ways: str, *, later: bool) -> None:
    """Without a session process too: when what was executed is gone, nobody is left within 5 s."""
    token = f"escape-{secrets.token_hex(6)}"
    program = str(Path(__file__).with_name("escapes.py"))
    argv = [*SHELTIE, "--", "env", "-C", str(CLONE), PYTHON, "-I", program, token, container, ways]
    # The second sheltie of a shell joins the session that the first one made.
    script = f'{" ".join(SHELTIE)} true; "$@"; exit 7'
    with executed(box, *(("sh", "-c", script, "sh") if later else ()), *argv) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"escaped\n"
        assert (remains(box, token) != [], len(cgroups(box)), len(records(box))) == (True, 1, 1)
        process.stdin.close()
        assert process.wait(30) == (7 if later else 0)
        wait_for(lambda: not remains(box, token), SECONDS)
    wait_for(lambda: cgroups(box) == [] and records(box) == [], SECONDS)


def test_an_exec_on_a_terminal_ends_them_too(box: Box) -> None:
    """What a shell on a terminal left in the background ends with it, and a hang-up is an end."""
    for leave in (True, False):
        with Terminal([*in_box(box), *SHELTIE]) as terminal:
            terminal.expect(r"# ")
            terminal.keys("setsid -f sleep 7411; echo gone-$((1 + 1))\r")
            terminal.expect("gone-2")
            wait_for(lambda: box.on_host("pgrep", "-fx", "sleep 7411") != "")
            if leave:
                terminal.keys("exit\r")
                assert terminal.wait() == 0
        wait_for(lambda: box.on_host("pgrep", "-fx", "sleep 7411") == "", SECONDS)


def test_what_an_exec_gives_to_nobody_holds_no_stream(box: Box) -> None:
    """Whoever reads what an exec prints sees its end at once, not that of the watcher."""
    begun = time.monotonic()
    with executed(box, *SHELTIE, "--", "echo", "said") as process:
        out, _ = process.communicate(timeout=30)
        assert out == b"said\n"
    assert time.monotonic() - begun < 2 * SECONDS


def test_others_are_left_alone(box: Box, container: str) -> None:
    """Neither another session nor the host's own processes end."""
    with session(before=in_box(box)) as other, session(before=in_box(box)) as seam:
        survivor = escape(box, other, container, "setsid")
        token = escape(box, seam, container, "cgroup")
        seam.hang_up()
        wait_for(lambda: not remains(box, token), SECONDS)
        seam.process.wait(SECONDS)
        assert remains(box, survivor) != []
        assert box.on_host("pgrep", "-fx", "sleep 7300") == container


def test_orphans_are_reaped_all_the_while(box: Box) -> None:
    """Zombies do not pile up in a session that lasts."""
    with session(before=in_box(box)) as seam:
        seam.ask(Execute(b"for i in $(seq 50); do (true & true &) & done; wait; echo up; read x"))
        assert seam.line() == b"up\n"
        pid = (
            Path(f"/proc/{seam.process.pid}/task/{seam.process.pid}/children")
            .read_text()
            .split()[0]
        )
        wait_for(lambda: len(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()) == 1)


def test_a_program_may_tidy_up(box: Box) -> None:
    """Whoever listens to TERM has a second."""
    note = box.state / "tidy"
    words = f"trap 'echo tidy >{note}; exit' TERM; echo up; while :; do sleep 0.1; done"
    with session(before=in_box(box)) as seam:
        seam.ask(Execute(f'{" ".join(SHELTIE)} setsid -f sh -c "{words}"; read x'.encode()))
        assert seam.line() == b"up\n"
        seam.hang_up()
        wait_for(note.exists, SECONDS)


def test_a_terminal_is_told(box: Box) -> None:
    """Nothing is printed at the end of a session that leaves nothing."""
    with session(before=in_box(box)) as seam:
        seam.ask(Pty("xterm", 24, 80, {}), Shell())
        seam.stream.sendall(b"exit 3\n")
        assert b"LEFT RUNNING" not in seam.rest()
        assert seam.exited().status == 3
