"""A look on a terminal: the session's own, and no other."""

import pytest

from tests.admin.look.conftest import Ground
from tests.e2e.terminal import Terminal

pytestmark = [pytest.mark.privileged]


def test_the_terminal_is_the_sessions_own(ground: Ground) -> None:
    """The shell has job control on a terminal of the host's; others are not there."""
    with Terminal(ground.box.sheltie("--look"), rows=30, cols=100) as terminal:
        terminal.expect(r"\[look@standin\(sheltie\)\]\$ ")
        terminal.keys("tty; stty size; ls /dev/pts\r")
        found = terminal.expect(r"/dev/pts/(\d+)\s+30 100\s+(\d+)\r\n")
        assert found[1] == found[2]
        terminal.keys("sh -c 'echo up$((1 + 1)); exec sleep 4322'\r")
        terminal.expect("up2\r\n")
        terminal.keys("\x1a")
        terminal.expect("Stopped")
        terminal.keys("kill -KILL %1; wait; echo written$((40 + 2)) >/dev/tty\r")
        terminal.expect("written42")
        terminal.keys("exit 5\r")
        assert terminal.wait() == 5


def test_busybox_looks_too(ground: Ground) -> None:
    """The other static shell, whose tools are itself, works by descriptor alone."""
    argv = ground.box.sheltie("--look", "--shell", "busybox")
    done = ground.box.run(argv, input=b"id -u >/dev/null; head -c 5 /etc/passwd; busybox echo ok\n")

    assert (done.stdout, done.returncode) == (b"root:ok\n", 0)
