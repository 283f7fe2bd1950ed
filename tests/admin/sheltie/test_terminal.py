"""sheltie on a terminal: a terminal of the host's, job control, and ours given back."""

import os
import signal
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.admin.sheltie.conftest import SHELTIE, Box
from tests.e2e.terminal import Terminal

pytestmark = pytest.mark.privileged


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        os.sched_yield()


def relays(box: Box) -> list[int]:
    """Return the pids of sheltie's relays in the container, as the machine sees them."""
    space = str(Path(f"/proc/{box.pid}/ns/mnt").readlink())
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if b"admin.sheltie" in words[:4] and str((entry / "ns/mnt").readlink()) == space:
                found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return found


def processes(box: Box, command: str) -> list[str]:
    """Return the pids of `command` on the host."""
    return box.on_host("pgrep", "-fx", command).split()


def test_job_control_and_the_window(box: Box) -> None:
    """The shell has a terminal of the host, ^Z, jobs, fg, ^C, and follows the window."""
    with Terminal(box.sheltie(), rows=30, cols=100) as terminal:
        terminal.expect(r"\[root@standin\(sheltie\)\]# ")
        terminal.keys("tty; stty size; ps -o tty= -p $$\r")
        terminal.expect(r"/dev/(pts/\d+)\s+30 100\s+pts/\d+")
        terminal.keys("sleep 4321\r")
        wait_for(lambda: bool(processes(box, "sleep 4321")))
        terminal.keys("\x1a")
        terminal.expect(r"Stopped")
        terminal.keys("jobs; echo code=$((40 + 2))\r")
        terminal.expect(r"sleep 4321\s+code=42")
        terminal.keys("fg\r")
        terminal.expect(r"sleep 4321")
        # `fg` names the job before the job has the terminal.
        wait_for(lambda: "+" in box.on_host("ps", "-o", "stat=", "-C", "sleep"))
        terminal.keys("\x03")
        terminal.expect(r"\^C")
        terminal.keys("echo status=$?\r")
        terminal.expect(r"status=130")
        terminal.resize(41, 123)
        terminal.keys("until test \"$(stty size)\" = '41 123'; do sleep 0.1; done; stty size\r")
        terminal.expect(r"[\r\n]41 123")
        terminal.keys("exit 5\r")
        assert terminal.wait() == 5


def test_a_command_on_a_terminal(box: Box) -> None:
    """A command gets a terminal too; its exit code, and what it wrote last, come through."""
    text = "tty; seq 20000; exit 9"
    with Terminal(box.sheltie("sh", "-c", text)) as terminal:
        terminal.expect(r"/dev/pts/\d+\s+1\r\n")
        terminal.expect(r"\n19999\r\n20000\r\n$")
        assert terminal.wait() == 9


def test_what_cannot_be_run_is_told_on_a_terminal(box: Box) -> None:
    """A missing command is 127 and one line there too."""
    with Terminal(box.sheltie("no-such-command")) as terminal:
        terminal.expect(r"sheltie: no-such-command: .*\[NO_COMMAND\]\r\n")
        assert terminal.wait() == 127


def test_the_end_of_input_ends_the_shell(box: Box) -> None:
    """Ctrl-D leaves the shell."""
    with Terminal(box.sheltie()) as terminal:
        terminal.expect(r"# ")
        terminal.keys("\x04")
        assert terminal.wait() == 0


def test_death_by_a_signal_is_seen_as_such(box: Box) -> None:
    """A command that dies of a signal on a terminal ends sheltie by the same signal."""
    text = f"{' '.join(SHELTIE)} sh -c 'kill -USR1 $$'; echo status=$?"
    with Terminal(box.argv("sh", "-c", text)) as terminal:
        terminal.expect(rf"status={128 + signal.SIGUSR1}")


@pytest.mark.parametrize("name", ["TERM", "HUP"])
@pytest.mark.parametrize("command", [[], ["sleep", "4322"]], ids=["shell", "command"])
def test_the_terminal_is_given_back(box: Box, command: list[str], name: str) -> None:
    """Whatever ends sheltie, our terminal has its settings again, and the child is gone."""
    text = f"trap '' HUP; {' '.join((*SHELTIE, *command))}; echo status=$?"
    # The container's shell ignores HUP, but what it starts must not: env puts the default back.
    text = text.replace(SHELTIE[0], f"env --default-signal=HUP {SHELTIE[0]}")
    with Terminal(box.argv("bash", "-c", text)) as terminal:
        before = termios.tcgetattr(terminal.master)
        wait_for(lambda: termios.tcgetattr(terminal.master) != before)
        wait_for(lambda: bool(processes(box, "sleep 4322" if command else r"bash .*-i")))
        (relay,) = [pid for pid in relays(box) if is_parent(pid)]
        os.kill(relay, signal.Signals[f"SIG{name}"])
        terminal.expect(r"status=(129|143)")
        assert before == termios.tcgetattr(terminal.master)
    wait_for(lambda: not processes(box, "sleep 4322"))


def is_parent(pid: int) -> bool:
    """Whether a process has a child."""
    return bool(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


@pytest.mark.parametrize("end", ["kill", "hangup"])
def test_the_child_learns_that_sheltie_is_gone(box: Box, end: str) -> None:
    """After kill -9, and after the terminal is gone, the command is told by SIGHUP."""
    with Terminal(box.sheltie("sleep", "4323")) as terminal:
        wait_for(lambda: bool(processes(box, "sleep 4323")))
        if end == "kill":
            (relay,) = [pid for pid in relays(box) if is_parent(pid)]
            os.kill(relay, signal.SIGKILL)
        else:
            os.close(terminal.master)
            terminal.master = os.open(os.devnull, os.O_RDONLY)
        wait_for(lambda: not processes(box, "sleep 4323"))
        wait_for(lambda: not relays(box))


def test_redirected_errors_stay_redirected(box: Box) -> None:
    """On a terminal, `2>FILE` still means the file."""
    text = f"{' '.join(SHELTIE)} sh -c 'echo out; echo err >&2' 2>/tmp/errors; cat -A /tmp/errors"
    with Terminal(box.argv("sh", "-c", text)) as terminal:
        terminal.expect(r"out\r\nerr\$\r\n$")


def test_a_pipe_behind_sheltie_is_left_alone(box: Box) -> None:
    """With standard output in a pipe no terminal is made: the bytes are the command's own."""
    text = f"{' '.join(SHELTIE)} sh -c 'echo a; tty' | cat -A"
    with Terminal(box.argv("sh", "-c", text)) as terminal:
        terminal.expect(r"a\$\r\n")


def test_a_stopped_sheltie_gives_the_terminal_back(box: Box) -> None:
    """TSTP stops the relay with the terminal as it was; fg goes on."""
    text = f"set -m; {' '.join(SHELTIE)}; echo stopped; stty -a; read x; fg"
    with Terminal(box.argv("bash", "-c", text)) as terminal:
        terminal.expect(r"# ")
        (relay,) = [pid for pid in relays(box) if is_parent(pid)]
        os.kill(relay, signal.SIGTSTP)
        terminal.expect(r"stopped")
        terminal.expect(r" icanon ")
        terminal.keys("x\r")
        terminal.expect(r"sheltie")
        terminal.keys("echo again=$((1 + 1))\r")
        terminal.expect(r"again=2")
        terminal.keys("exit\r")
        assert terminal.wait() == 0


def test_a_host_without_coreutils_is_named(bare_box: Box) -> None:
    """An interactive shell from busybox says so in one line, and has its tools."""
    with Terminal(bare_box.sheltie()) as terminal:
        terminal.expect(r"sheltie: this host has no ls: [^\n]*\n(?s:.*)# ")
        terminal.keys("ls -d /proc; tty\r")
        terminal.expect(r"/proc\r\n/dev/pts/\d+")
        terminal.keys("exit 3\r")
        assert terminal.wait() == 3
