"""A sick host: a prompt within 3 s, and what the prompt can still do."""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from admin.sheltie import digest
from tests.admin.sheltie.conftest import Box, made, skip_unless_possible
from tests.admin.sheltie.test_terminal import wait_for
from tests.e2e.host import PATIENCE
from tests.e2e.terminal import Terminal

pytestmark = [pytest.mark.privileged, pytest.mark.timeout(120)]

SECONDS = 3
FUSE = "rootmode=40000,user_id=0,group_id=0,allow_other"
ROUNDS = 3


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A host that may be made sick."""
    skip_unless_possible()
    with made(tmp_path_factory.mktemp("sick")) as one:
        yield one


def prompts(box: Box, *options: str) -> float:
    """Return the seconds to the prompt of a shell, the best of a few: load is not sickness."""
    best = 60.0
    for _ in range(ROUNDS):
        begun = time.monotonic()
        with Terminal(box.sheltie(*options)) as terminal:
            terminal.expect(r"\(sheltie\)\][#$] ")
            best = min(best, time.monotonic() - begun)
            terminal.keys("exit\r")
            assert terminal.wait() == 0
    return best


@contextmanager
def dead_mounts(box: Box, *places: str) -> Iterator[None]:
    """Mount file systems on the host whose server never answers, as of a network that is gone."""
    enter = ["nsenter", "-t", str(box.host), "-m", "--", "sh", "-c"]
    with ExitStack() as stack:
        for place in places:
            descriptor = os.open("/dev/fuse", os.O_RDWR)
            stack.callback(os.close, descriptor)
            text = f"mkdir -p {place}; exec mount -t fuse -o fd={descriptor},{FUSE} dead {place}"
            subprocess.run([*enter, text], pass_fds=[descriptor], check=True, timeout=30)
            stack.callback(box.on_host, "umount", "-l", place)
        yield


@pytest.mark.parametrize("options", [[], ["--look"]], ids=["root", "look"])
def test_a_dead_mount(host: Box, options: list[str]) -> None:
    """File systems that never answer hold nobody up who does not ask them."""
    with dead_mounts(host, "/mnt", "/run/dead", "/tmp/dead"):
        argv = ["nsenter", "-t", str(host.host), "-m", "--", "ls", "/mnt"]
        with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as stuck:
            try:
                assert prompts(host, *options) < SECONDS * PATIENCE
                assert stuck.poll() is None  # it is dead indeed
            finally:
                stuck.kill()


@contextmanager
def frozen(box: Box) -> Iterator[None]:
    """Freeze some of the host's processes where they stand."""
    place = "/sys/fs/cgroup/freezer/sick"
    text = f"mkdir {place}; echo 0 >{place}/cgroup.procs; echo up; sleep 7600 & sleep 7600"
    enter = ["nsenter", "-t", str(box.host), "-a", "--", "sh", "-c", text]
    with subprocess.Popen(enter, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        box.on_host("sh", "-c", f"echo FROZEN >{place}/freezer.state")
        wait_for(lambda: box.on_host("cat", f"{place}/freezer.state") == "FROZEN")
        try:
            yield
        finally:
            box.on_host("sh", "-c", f"echo THAWED >{place}/freezer.state")
            box.on_host("pkill", "-f", "sleep 7600")
            process.kill()
    box.on_host("rmdir", place)


@pytest.mark.parametrize("options", [[], ["--look"]], ids=["root", "look"])
def test_processes_that_hang(host: Box, options: list[str]) -> None:
    """Processes that no signal moves are left where they are."""
    with frozen(host):
        assert prompts(host, *options) < SECONDS * PATIENCE


@pytest.mark.parametrize("options", [[], ["--look"]], ids=["root", "look"])
def test_no_process_can_be_started(host: Box, options: list[str]) -> None:
    """Without a free pid there is a shell all the same, whose own `kill` makes room again."""
    place = "/sys/fs/cgroup/pids/full"
    host.on_host("mkdir", place)
    begun = time.monotonic()
    # The shell becomes the nsenter that waits for sheltie: there is room for these two.
    seen = f"/proc/{host.host}/root{place}"
    text = f'echo 0 >{seen}/cgroup.procs; echo 2 >{seen}/pids.max; exec "$@"'
    with Terminal(["sh", "-c", text, "sh", *host.sheltie(*options)]) as terminal:
        terminal.expect(r"sheltie: no process can be started: [^\n]*\n")
        terminal.expect(r"\(sheltie\)\][#$] ")
        assert time.monotonic() - begun < SECONDS * PATIENCE
        terminal.keys("kill -l TERM; echo $((6 * 7)); ls\r")
        terminal.expect(r"15\r\n42\r\n")
        terminal.expect(r"fork: [^\n]*unavailable")
        terminal.keys("exit 5\r")
    wait_for(lambda: host.on_host("cat", f"{place}/cgroup.procs") == "")
    host.on_host("rmdir", place)


def test_a_daemon_that_dribbles(tmp_path: Path) -> None:
    """Whoever answers byte by byte is waited for no longer than who does not answer."""
    path, stop = tmp_path / "api.sock", threading.Event()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def dribble() -> None:
            connection, _ = listening.accept()
            with connection:
                while not stop.wait(0.05):
                    try:
                        connection.send(b"x")
                    except OSError:
                        return

        thread = threading.Thread(target=dribble)
        thread.start()
        begun = time.monotonic()
        assert digest._ask(0.3, str(path)) == ""
        assert time.monotonic() - begun < SECONDS * PATIENCE
        stop.set()
        thread.join()
