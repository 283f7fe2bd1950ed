"""Nobody gets away: each way out of a session, alone, beside racing forkers, and in pairs."""

import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from admin.ssh.protocol import Execute, Pty, Shell
from tests.admin.end.inside import in_box
from tests.admin.session.seam import Seam, session
from tests.admin.sheltie.conftest import CLONE, PYTHON, SHELTIE, Box, box
from tests.admin.sheltie.test_terminal import wait_for
from tests.admin.sheltie.test_ways import workload
from tests.e2e.host import PATIENCE

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
