"""The root shell on the host: namespaces, the shell that is nowhere, exit codes, signals, bytes."""

import hashlib
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from tests.e2e.host import Host, wait_for
from tests.e2e.terminal import Terminal

pytestmark = [pytest.mark.e2e, pytest.mark.image, pytest.mark.privileged, pytest.mark.timeout(180)]

NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "cgroup")
MEGABYTES = int(os.environ.get("SHELTIE_BULK_MB", "100"))


def test_sheltie_is_in_the_six_namespaces_of_pid_1(admin: Host) -> None:
    """Inside sheltie every namespace is that of the host's PID 1."""
    ours = [f"readlink /proc/self/ns/{name}" for name in NAMESPACES]
    done = admin.ssh("sheltie", stdin="\n".join(ours).encode())
    theirs = [admin.text("host", "readlink", f"/proc/1/ns/{name}") for name in NAMESPACES]

    assert theirs == done.stdout.decode().split()


def test_the_shell_exists_nowhere_on_the_host(admin: Host) -> None:
    """The shell's executable has no path on the host, and its inode is in none of its programs."""
    done = admin.ssh("sheltie", stdin=b"readlink /proc/$$/exe; stat -L -c %d:%i /proc/$$/exe\n")
    path, inode = done.stdout.decode().split()
    listing = admin.text(
        "host", "stat", "-L", "-c", "%d:%i %n", "/bin/sh", "/bin/ls", "/proc/1/exe"
    )

    assert admin.run("host", "test", "-e", path, check=False).returncode == 1
    assert inode not in {line.split()[0] for line in listing.splitlines()}
    assert "static" in path or path.endswith(("bash", "busybox"))


def test_sheltie_runs_a_host_command_and_says_nothing_of_its_own(admin: Host) -> None:
    """A one-shot run prints what the command prints, on the stream it chose, and no more."""
    done = admin.ssh("sheltie hostname")

    assert (admin.text("host", "hostname") + "\n", "") == (
        done.stdout.decode(),
        done.stderr.decode(),
    )


def test_a_login_without_a_terminal_prints_no_motd(admin: Host) -> None:
    """`ssh host true` prints nothing at all."""
    done = admin.ssh("true")

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("code", [0, 1, 7, 127, 255])
def test_exit_codes_come_through(admin: Host, code: int) -> None:
    """The exit code of a host command is the exit code of ssh."""
    assert code == admin.ssh(f"sheltie sh -c 'exit {code}'").returncode


def test_a_command_that_dies_of_a_signal_says_so(admin: Host) -> None:
    """A host command killed by TERM looks killed by TERM to the shell in admin."""
    done = admin.ssh("sheltie sh -c 'kill -TERM $$'; echo $?")

    assert str(128 + signal.SIGTERM) == done.stdout.decode().strip()


def test_a_missing_command_is_127(admin: Host) -> None:
    """A command that the host does not have: 127 and one line."""
    done = admin.ssh("sheltie no-such-command-anywhere")

    assert done.returncode == 127
    assert len(done.stderr.splitlines()) == 1


def test_signals_reach_the_host_command(admin: Host) -> None:
    """TERM sent to sheltie ends the host command, not only sheltie."""
    script = (
        "sheltie sleep 987 & sleep 0.5; kill -TERM $!; wait $!; echo $?;"
        " sheltie pgrep -f 'sleep 98[7]'"
    )
    done = admin.ssh(script)

    assert [str(128 + signal.SIGTERM)] == done.stdout.decode().split()


def test_options_stand_only_before_the_command(admin: Host) -> None:
    """`sheltie ls --help` shows the help of ls, not ours."""
    assert (
        admin.text("host", "ls", "--help")
        == admin.ssh("sheltie ls --help").stdout.decode().rstrip()
    )


def test_stdin_comes_through_a_pipe(admin: Host) -> None:
    """What is piped into ssh reaches the host command whole, and its end too."""
    data = os.urandom(1 << 20)
    done = admin.ssh("sheltie sha256sum", stdin=data)

    assert hashlib.sha256(data).hexdigest() == done.stdout.decode().split()[0]


@pytest.mark.parametrize("slow", [False, True], ids=["fast", "slow-reader"])
def test_bulk_output_is_unbroken(admin: Host, slow: bool) -> None:
    """Many megabytes through `ssh … cat` arrive whole, also when the reader dawdles."""
    size = MEGABYTES << 20
    script = f"sheltie head -c {size} /dev/urandom | tee >(sha256sum >&2)"
    process = subprocess.Popen(
        admin.ssh_argv(script),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    digest, got, pause = hashlib.sha256(), 0, threading.Event()
    while chunk := process.stdout.read(1 << 20):
        digest.update(chunk)
        got += len(chunk)
        if slow and got % (8 << 20) < len(chunk):
            pause.wait(0.05)
    told = process.stderr.read().decode().split()
    with process.stdout, process.stderr:
        assert process.wait(timeout=30) == 0

    assert size == got
    assert digest.hexdigest() == told[0]


def test_bulk_input_is_unbroken(admin: Host, tmp_path: Path) -> None:
    """Many megabytes into `ssh … sheltie sha256sum` arrive whole."""
    path = tmp_path / "bulk"
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(MEGABYTES):
            piece = os.urandom(1 << 20)
            digest.update(piece)
            file.write(piece)
    with path.open("rb") as file:
        done = subprocess.run(
            admin.ssh_argv("sheltie sha256sum"),
            stdin=file,
            capture_output=True,
            check=True,
            timeout=120,
        )

    assert digest.hexdigest() == done.stdout.decode().split()[0]


def test_files_are_copied_with_scp(admin: Host, tmp_path: Path) -> None:
    """Scp brings a file into admin and back."""
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(os.urandom(300_000))
    options = admin.ssh_argv()[1:]
    where, options = options[-1], ["-P" if part == "-p" else part for part in options[:-1]]
    for pair in ((str(source), f"{where}:copied"), (f"{where}:copied", str(back))):
        subprocess.run(["scp", *options, *pair], check=True, capture_output=True, timeout=60)

    assert source.read_bytes() == back.read_bytes()


def test_a_terminal_has_job_control_and_follows_the_window(admin: Host) -> None:
    """In `ssh -t … sheltie`: a terminal of the host, ^Z, jobs, fg, ^C, and the new window size."""
    with Terminal(admin.ssh_argv("sheltie", options=["-tt"]), rows=30, cols=100) as terminal:
        terminal.expect(r"sheltie")
        terminal.keys("tty; stty size\r")
        terminal.expect(r"/dev/pts/\d+\s+30 100")
        terminal.keys("sleep 4321\r")
        wait_for("sleep runs", lambda: sleeping(admin, "4321"))
        terminal.keys("\x1a")
        terminal.expect(r"Stopped")
        terminal.keys("jobs; echo code=$((40 + 2))\r")
        terminal.expect(r"sleep 4321\s+code=42")
        terminal.keys("fg\r")
        terminal.expect(r"sleep 4321")
        # `fg` names the job before the job has the terminal.
        listing = ("ps", "-o", "stat=", "-C", "sleep")
        wait_for("the job has the terminal", lambda: "+" in admin.text("host", *listing))
        terminal.keys("\x03")
        terminal.keys("echo status=$?\r")
        terminal.expect(r"status=130")
        terminal.resize(41, 123)
        # The new size and what is typed go different ways: the shell looks until it is there.
        terminal.keys("until test \"$(stty size)\" = '41 123'; do sleep 0.1; done; stty size\r")
        terminal.expect(r"[\r\n]41 123")
        terminal.keys("exit 5\r")
        assert terminal.wait() == 5


def test_a_lost_connection_ends_what_it_started(admin: Host) -> None:
    """When the client is gone, the host command that it ran on a terminal is gone too."""
    with Terminal(admin.ssh_argv("sheltie sleep 6543", options=["-tt"])) as terminal:
        wait_for("sleep runs", lambda: sleeping(admin, "6543"))
        terminal.process.kill()
    wait_for("sleep is gone", lambda: not sleeping(admin, "6543"))


def sleeping(host: Host, seconds: str) -> bool:
    """Whether `sleep SECONDS` runs on the host."""
    return not host.run("host", "pgrep", "-fx", f"sleep {seconds}", check=False).returncode
