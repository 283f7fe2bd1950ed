"""Into the host and out again: namespaces, the shell that is nowhere, codes, signals, bytes."""

import hashlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.admin.sheltie.conftest import PYTHON, SHELTIE, Box
from tests.somebody import somebody

pytestmark = pytest.mark.privileged

NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "cgroup")


def script(box: Box, text: str, *arguments: str) -> str:
    """Return what sheltie's shell prints for the script `text`."""
    done = box.run(box.sheltie(*arguments), input=text.encode())
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


def test_all_six_namespaces_are_those_of_pid_1(box: Box) -> None:
    """A command and the shell both stand where PID 1 stands, and the container does not."""
    text = "\n".join(f"readlink /proc/self/ns/{name}" for name in NAMESPACES)
    theirs = box.on_host("sh", "-c", text).split()

    assert theirs == script(box, text).split()
    assert theirs == box.run(box.sheltie("sh", "-c", text)).stdout.decode().split()
    inside = box.run(box.argv("sh", "-c", text)).stdout.decode().split()
    assert [inside[1]] == [one for one in inside if one in theirs]


@pytest.mark.parametrize("shell", ["bash", "busybox"])
def test_the_shell_is_not_on_the_host(box: Box, shell: str) -> None:
    """The shell's executable is a file of the container that no path of the host leads to."""
    out = script(box, "readlink /proc/$$/exe\nstat -L -c %d:%i /proc/$$/exe\n", "--shell", shell)
    path, inode = out.split()
    ours = box.run(box.argv("stat", "-L", "-c", "%d:%i", f"/opt/bin/{shell}")).stdout.decode()

    assert (f"/opt/bin/{shell}", ours.strip()) == (path, inode)
    assert box.on_host("sh", "-c", f"test -e {path} || echo absent") == "absent"


def test_the_environment_is_clean(box: Box) -> None:
    """Nothing of the caller's environment but terminal and locale gets through."""
    environment = {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C",
        "TERM": "x",
        "LD_PRELOAD": "",
        "A": "b",
    }
    done = box.run(box.sheltie("env"), env=environment)

    assert sorted(done.stdout.decode().split()) == [
        "HOME=/root",
        "LC_ALL=C",
        "LOGNAME=root",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "TERM=x",
        "USER=root",
    ]


def test_a_command_writes_where_it_writes_and_sheltie_nowhere(box: Box) -> None:
    """Standard output and error of a one-shot run are the command's alone."""
    done = box.run(box.sheltie("--", "sh", "-c", "echo out; echo err >&2; pwd"))

    assert (done.stdout, done.stderr, done.returncode) == (b"out\n/\n", b"err\n", 0)


@pytest.mark.parametrize("code", [0, 1, 42, 126, 255])
def test_exit_codes_pass(box: Box, code: int) -> None:
    """The command's exit code is sheltie's; the shell's too."""
    assert code == box.run(box.sheltie("sh", "-c", f"exit {code}")).returncode
    assert code == box.run(box.sheltie(), input=f"exit {code}\n".encode()).returncode


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        ("no-such-command", 127, "NO_COMMAND"),
        ("/no/such/file", 127, "NO_COMMAND"),
        ("/etc/passwd", 126, "NOT_EXECUTABLE"),
        ("/etc", 126, "NOT_EXECUTABLE"),
        ("x" * 5000, 126, "NOT_EXECUTABLE"),
    ],
)
def test_what_cannot_be_run_is_told_in_one_line(
    box: Box, command: str, status: int, words: str
) -> None:
    """127 when the host has no such command, 126 when it cannot be executed."""
    done = box.run(box.sheltie(command))

    assert status == done.returncode
    assert (done.stderr.count(b"\n"), words.encode() in done.stderr) == (1, True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGPIPE, signal.SIGHUP])
def test_death_by_a_signal_is_seen_as_such(box: Box, number: signal.Signals) -> None:
    """A command that kills itself looks so to the caller."""
    text = f"{' '.join(SHELTIE)} sh -c 'kill -{int(number)} $$'; echo $?"
    done = box.run(box.argv("sh", "-c", text))

    assert str(128 + number) == done.stdout.decode().strip()


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "KILL"])
def test_signals_to_sheltie_reach_the_command(box: Box, name: str) -> None:
    """Each signal ends the command on the host, and nothing of it stays."""
    # A fifo tells that the command runs; the shell's background jobs ignore INT and QUIT, so
    # python, which does not, starts it.
    code = (
        "import signal, subprocess, sys\n"
        "one = subprocess.Popen(sys.argv[2:], stdout=subprocess.PIPE)\n"
        "one.stdout.readline()\n"
        "one.send_signal(int(sys.argv[1]))\n"
        "print(one.wait())\n"
    )
    number = signal.Signals[f"SIG{name}"]
    command = ("sh", "-c", "echo up; exec sleep 6100")
    done = box.run(box.argv(PYTHON, "-I", "-c", code, str(int(number)), *SHELTIE, *command))

    assert (str(-number), b"") == (done.stdout.decode().strip(), done.stderr)
    assert box.on_host("pgrep", "-fx", "sleep 6100") == ""


def test_default_signals_are_restored(box: Box) -> None:
    """The command ignores no signal: Python's SIGPIPE and SIGXFSZ are put back."""
    ignored = box.run(box.sheltie("grep", "SigIgn", "/proc/self/status")).stdout.split()[1]

    # 32 and 33 are the C library's own: posix_spawn(3) hands them on as ignored, whoever calls it.
    assert int(ignored, 16) & ~(0b11 << 31) == 0


def test_only_the_standard_descriptors_are_open(box: Box) -> None:
    """Neither what sheltie opened nor what it inherited is open in the command or the shell."""
    with Path(os.devnull).open() as leaked:
        for argv in (["ls", "/proc/self/fd"], []):
            done = subprocess.run(
                box.sheltie(*argv),
                input=b"ls /proc/$$/fd" if not argv else b"",
                pass_fds=[leaked.fileno()],
                capture_output=True,
                check=True,
                timeout=30,
            )
            # The third is the open directory that ls reads.
            assert done.stdout.split()[:3] == [b"0", b"1", b"2"]
            assert len(done.stdout.split()) <= 4


@pytest.mark.parametrize("direction", ["out", "in"])
def test_bulk_passes_unbroken(box: Box, tmp_path: Path, direction: str) -> None:
    """Twenty megabytes go through a pipe each way, whole."""
    data = os.urandom(20 << 20)
    digest = hashlib.sha256(data).hexdigest()
    if direction == "in":
        done = box.run(box.sheltie("sha256sum"), input=data)
        assert digest == done.stdout.decode().split()[0]
    else:
        done = box.run(box.sheltie("cat"), input=data)
        assert digest == hashlib.sha256(done.stdout).hexdigest()


def test_the_host_is_as_before(box: Box) -> None:
    """After a shell and a command the host has its mounts, and no process that it had not."""

    def processes() -> set[str]:
        lines = box.on_host("ps", "-eo", "pid=,comm=").splitlines()
        return {line.strip() for line in lines if not line.endswith(" ps")}

    mounts, before = box.mountinfo(), processes()
    script(box, "ls / >/dev/null; exit")
    box.run(box.sheltie("true"))
    deadline = time.monotonic() + 10  # the host's first process buries orphans in its own time
    while new := processes() - before:
        assert time.monotonic() < deadline, new

    assert mounts == box.mountinfo()


@pytest.mark.parametrize("kind", ["null", "closed", "socket"])
def test_any_standard_input_will_do(box: Box, kind: str) -> None:
    """A missing, empty or socket-like standard input stops neither a command nor the shell."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"echo via-socket\n")
        ours.shutdown(socket.SHUT_WR)
        stdin = theirs.fileno() if kind == "socket" else subprocess.DEVNULL
        closing = ["sh", "-c", 'exec "$@" <&-', "sh"] if kind == "closed" else []
        command = box.argv(*closing, *SHELTIE)
        done = box.run([*command, "echo", "hello"], stdin=stdin)
        assert (done.stdout, done.returncode) == (b"hello\n", 0)
        done = box.run(command, stdin=stdin)
        expected = b"via-socket\n" if kind == "socket" else b""
        assert (expected, b"", 0) == (done.stdout, done.stderr, done.returncode)


def test_a_container_with_its_own_pid_1_is_refused(box: Box) -> None:
    """Where PID 1 is the container's own, sheltie says so instead of entering itself."""
    own = ("unshare", "--pid", "--fork", "--mount-proc")
    for argv in (box.argv(*own, *SHELTIE, "true"), box.argv(*own, *SHELTIE)):
        done = box.run(argv)
        assert (done.stdout, done.returncode) == (b"", 6)
        assert done.stderr.count(b"\n") == 1
        assert b"NOT_SUPERPOWERED" in done.stderr


def test_the_host_itself_is_refused(box: Box) -> None:
    """On the host there is nothing to enter."""
    argv = ["nsenter", "-t", str(box.host), "-a", "--", *SHELTIE, "true"]

    assert b"NOT_SUPERPOWERED" in box.run(argv).stderr


def test_missing_capabilities_are_told_in_one_line(box: Box) -> None:
    """Root without the capability to enter gets one line, not a traceback."""
    argv = box.argv("setpriv", "--bounding-set=-sys_admin", *SHELTIE, "true")
    done = box.run(argv)

    assert (done.returncode, done.stderr.count(b"\n")) == (6, 1)
    assert b"NOT_SUPERPOWERED" in done.stderr


def test_without_root_and_sudo_one_line_says_so(box: Box) -> None:
    """Somebody whom sudo does not let through learns why."""
    done = box.run(box.argv(*somebody(), *SHELTIE, "true"))

    assert done.returncode
    assert done.stderr.startswith(b"sudo:") or b"NOT_ROOT" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_host_without_coreutils_gets_busybox(bare_box: Box) -> None:
    """Where the host has no ls, the shell brings its own tools, in silence when not interactive."""
    out = script(bare_box, "ls -d /proc\nreadlink /proc/$$/exe\n")

    assert out.split() == ["/proc", "/opt/bin/busybox"]


def test_a_host_without_a_command_is_127(bare_box: Box) -> None:
    """A command is always the host's: the shell's own tools do not stand in for it."""
    assert bare_box.run(bare_box.sheltie("ls")).returncode == 127
