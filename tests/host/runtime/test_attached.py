"""`hostd exec`: commands on our own streams while no daemon runs, by crun and by runc."""

import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from host.runtime import made
from tests.e2e.terminal import Terminal
from tests.host.runtime.bench import Bench, everything, settled

pytest_plugins = ("tests.host.inside",)
INSIDE = True
pytestmark = [
    pytest.mark.privileged,
    pytest.mark.timeout(300),
]


@pytest.fixture(params=["crun", "runc"])
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A bench of each runtime; nothing is left of it."""
    before = everything()
    with Bench.set_up(tmp_path, str(request.param)) as bench:
        yield bench
    assert settled(before) == before


@pytest.fixture
async def running(bench: Bench) -> AsyncIterator[Bench]:
    """A bench on which `one` runs, unprivileged."""
    config = await bench.prepare("one", ["sleep", "600"])
    task = await bench.runtime.run(bench.files("one"), config)
    known = made.Made(
        bench.runtime.name, "oci:/x", superpowered=False, command=(), digest="", since=""
    )
    made.save(bench.files("one"), known)
    yield bench
    task.close()
    await bench.clear("one")


def argv(bench: Bench, *words: str) -> list[str]:
    """Return the command line of `hostd exec one`."""
    where = ["--state", str(bench.state), "--run", str(bench.run)]
    return [sys.executable, "-I", "-m", "host", "exec", *where, "one", *words]


def hostd(bench: Bench, *words: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    """Run it."""
    return subprocess.run(
        argv(bench, *words), input=stdin, capture_output=True, check=False, timeout=30
    )


async def test_streams_and_status_are_the_commands(running: Bench) -> None:
    """Input, output, errors and the exit status, each for itself."""
    done = hostd(running, "--", "sh", "-c", "cat; echo bad >&2; exit 5", stdin=b"good\n")

    assert (done.returncode, done.stdout, done.stderr) == (5, b"good\n", b"bad\n")
    assert hostd(running, "sh", "-c", "kill -9 $$").returncode == 137
    assert list((running.run / "exec").iterdir()) == []


async def test_much_output_comes_whole(running: Bench) -> None:
    """Ten megabytes through a pipe."""
    done = hostd(running, "--", "head", "-c", "10000000", "/dev/zero")

    assert done.stdout == bytes(10_000_000)


async def test_a_user_by_name(running: Bench) -> None:
    """With its ids, groups and home, and without capabilities."""
    script = "id; echo $HOME; grep CapEff /proc/self/status"
    done = hostd(running, "--user", "login", "--", "sh", "-c", script)

    lines = done.stdout.decode().splitlines()
    assert lines[0].startswith("uid=1000(login) gid=1000(login) groups=274(api)"), done
    assert lines[1:] == ["/home/login", "CapEff:\t0000000000000000"]


async def test_an_unknown_user_and_an_unknown_container(running: Bench) -> None:
    """One line and its status."""
    done = hostd(running, "--user", "nobody", "true")
    assert (done.returncode, done.stderr.count(b"\n")) == (4, 1)
    assert b"NO_USER" in done.stderr
    await running.clear("one")
    done = hostd(running, "true")
    assert (done.returncode, done.stderr.count(b"\n")) == (4, 1)
    assert b"CONTAINER_NOT_RUNNING" in done.stderr


async def test_signals_reach_the_command(running: Bench) -> None:
    """TERM to hostd is TERM to the command."""
    script = "trap 'exit 9' TERM; echo up; while :; do sleep 0.1; done"
    command = argv(running, "sh", "-c", script)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: ASYNC220  one test
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 9


async def test_a_terminal(running: Bench) -> None:
    """A shell on a terminal of its own: keys, job control, size, status."""
    with Terminal(["env", "TERM=vt100", *argv(running, "--tty", "--", "sh")]) as terminal:
        terminal.expect("/ # ")
        terminal.resize(33, 99)
        terminal.keys("test -t 2 && echo on-$((1 + 1))-$TERM $(stty size)\r")
        terminal.expect("on-2-vt100 33 99")
        terminal.keys("\x03")
        terminal.keys("exit 6\r")
        assert terminal.wait() == 6


async def test_no_terminal_here(running: Bench) -> None:
    """--tty without one is an error before anything starts."""
    done = hostd(running, "--tty", "true")

    assert done.returncode == 2
    assert b"NO_TERMINAL" in done.stderr
