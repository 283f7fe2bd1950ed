"""Other ways than all of PID 1's namespaces: fewer, a workload's, this container's tools."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from admin.sheltie.host import present
from admin.sheltie.options import NAMESPACES
from tests.admin.sheltie.conftest import CLONE, PYTHON, SHELTIE, Box
from tests.admin.sheltie.test_terminal import wait_for
from tests.e2e.terminal import Terminal

pytestmark = pytest.mark.privileged

READ = "\n".join(f"readlink /proc/self/ns/{name}" for name in NAMESPACES)


def namespaces(box: Box, *argv: str) -> dict[str, str]:
    """Return the namespaces that a shell started by `argv` prints."""
    done = box.run([*argv, "sh", "-c", READ])
    assert (done.returncode, done.stderr) == (0, b"")
    return dict(zip(NAMESPACES, done.stdout.decode().split(), strict=True))


@contextmanager
def workload(box: Box, seconds: str, *, empty: bool = False) -> Iterator[str]:
    """Run a workload on the host; yields its pid there."""
    root = box.state / f"workload-{seconds}"
    root.mkdir()
    host = ["nsenter", "-t", str(box.host), "-a", "--"]
    script = str(Path(__file__).with_name("workload.py"))
    argv = [*host, "env", "-C", str(CLONE), PYTHON, "-I", script, str(root), seconds]
    with subprocess.Popen(
        [*argv, *(["empty"] if empty else [])], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        try:
            # It says so before it becomes what it is looked for as.
            wait_for(lambda: box.on_host("pgrep", "-fx", f"sleep {seconds}") != "")
            yield box.on_host("pgrep", "-fx", f"sleep {seconds}")
        finally:
            box.on_host("pkill", "-KILL", "-fx", f"sleep {seconds}")


@pytest.fixture(scope="module")
def web(box: Box) -> Iterator[str]:
    """The pid of a workload on the host."""
    with workload(box, "7100") as pid:
        yield pid


@pytest.mark.parametrize("name", NAMESPACES)
def test_each_namespace_can_be_left_out(box: Box, name: str) -> None:
    """With `--no-NAME` that namespace is the container's and all others are the host's."""
    theirs = namespaces(box, "nsenter", "-t", str(box.host), "-a", "--")
    ours = namespaces(box, *box.argv())
    found = namespaces(box, *box.sheltie(f"--no-{name}"))

    assert found == {**theirs, name: ours[name]}


def test_with_none_left_nothing_is_entered(box: Box) -> None:
    """All six switches leave the command in the container."""
    switches = [f"--no-{name}" for name in NAMESPACES]

    assert namespaces(box, *box.sheltie(*switches)) == namespaces(box, *box.argv())


def test_a_kernel_without_a_namespace(tmp_path: Path) -> None:
    """What the kernel does not have is not asked for."""
    for name in ("mnt", "pid", "net", "user"):
        (tmp_path / name).touch()

    assert present(str(tmp_path)) == {"mnt", "pid", "net"}


def test_busybox_by_its_own_switch(box: Box) -> None:
    """--busybox is busybox."""
    done = box.run(box.sheltie("--busybox"), input=b"readlink /proc/$$/exe\n")

    assert done.stdout == b"/opt/bin/busybox\n"


def test_a_target_is_entered_wholly(box: Box, web: str) -> None:
    """Command and shell stand in the workload, as processes of its own pid namespace."""
    text = "hostname; ls /; readlink /proc/self/ns/pid; exit 7"
    inside = box.on_host("readlink", f"/proc/{web}/ns/pid")
    for argv, words in ((["sh", "-c", text], b""), ([], text.encode())):
        done = box.run(box.sheltie("--target", web, *argv), input=words)
        assert done.stderr == b""
        assert done.stdout.decode().split() == ["workload", "bin", "proc", inside]
        assert done.returncode == 7


def test_a_target_may_have_an_empty_root(box: Box) -> None:
    """Where there is no file at all the static shell still works; a command is 127."""
    with workload(box, "7101", empty=True) as pid:
        done = box.run(box.sheltie("--target", pid), input=b"echo *; echo $((6 * 7)); exit 3\n")
        assert (done.stdout, done.stderr, done.returncode) == (b"*\n42\n", b"", 3)
        assert box.run(box.sheltie("--target", pid, "ls")).returncode == 127
        with Terminal(box.sheltie("--target", pid)) as terminal:
            terminal.expect(r"# ")
            terminal.keys("echo $((6 * 7))\r")
            terminal.expect(r"\r\n42\r\n")
            terminal.keys("exit 4\r")
            assert terminal.wait() == 4


def test_a_target_on_a_terminal(box: Box, web: str) -> None:
    """Job control works in a workload that has no terminals of its own."""
    with Terminal(box.sheltie("--target", web)) as terminal:
        terminal.expect(r"\[root@workload\(sheltie\)\]# ")
        terminal.keys("sleep 7102\r")
        wait_for(lambda: box.on_host("pgrep", "-fx", "sleep 7102") != "")
        terminal.keys("\x1a")
        terminal.expect(r"Stopped")
        terminal.keys("jobs; kill %1; exit 5\r")
        terminal.expect(r"sleep 7102")
        terminal.keys("exit 5\r")
        assert terminal.wait() == 5


@pytest.mark.parametrize("name", ["TERM", "INT", "KILL"])
def test_signals_reach_a_command_in_a_target(box: Box, web: str, name: str) -> None:
    """The command there gets each signal, and is taken along when sheltie is killed."""
    code = (
        "import signal, subprocess, sys\n"
        "one = subprocess.Popen(sys.argv[2:], stdout=subprocess.PIPE)\n"
        "one.stdout.readline()\n"
        "one.send_signal(int(sys.argv[1]))\n"
        "print(one.wait())\n"
        "one.stdout.read()\n"  # ends with the last process that holds it
    )
    number = {"TERM": 15, "INT": 2, "KILL": 9}[name]
    command = ("--target", web, "sh", "-c", "echo up; exec sleep 7103")
    done = box.run(box.argv(PYTHON, "-I", "-c", code, str(number), *SHELTIE, *command))

    assert (done.stdout.decode().strip(), done.stderr) == (str(-number), b"")


def test_no_such_target(box: Box) -> None:
    """One line and status 4."""
    done = box.run(box.sheltie("--target", "4194303", "true"))

    assert (done.returncode, done.stderr.count(b"\n")) == (4, 1)
    assert b"NO_TARGET" in done.stderr


def test_tools_are_this_containers(box: Box) -> None:
    """A tool sees the container's files, and the host's processes, network and IPC."""
    theirs = namespaces(box, "nsenter", "-t", str(box.host), "-a", "--")
    ours = namespaces(box, *box.argv())
    found = namespaces(box, *box.sheltie("--tools"))

    assert found == {**ours, "pid": theirs["pid"], "net": theirs["net"], "ipc": theirs["ipc"]}
    done = box.run(box.sheltie("--tools", "ls", "/.bottlerocket/rootfs/etc/hostname", "/opt/bin"))
    assert done.returncode == 0
    done = box.run(box.sheltie("--tools", "no-such-tool"))
    assert (done.returncode, b"admin has no such command" in done.stderr) == (127, True)


def test_tools_keep_the_terminal(box: Box) -> None:
    """A tool stands on the terminal that is there."""
    with Terminal(box.sheltie("--tools", "sh", "-c", "test -t 0 && echo on-$((1 + 1))")) as one:
        one.expect(r"on-2\r\n")
        assert one.wait() == 0


def test_a_megabyte_of_arguments(box: Box) -> None:
    """They all arrive."""
    words = ["x" * 99] * 10_000
    done = box.run(box.sheltie("sh", "-c", 'echo $# "$*" | wc', "sh", *words))

    assert done.stdout.split() == [b"1", b"10001", b"1000006"]
    script = f"x={'y' * (1 << 20)}\necho ${{#x}}\n"
    assert box.run(box.sheltie(), input=script.encode()).stdout == b"1048576\n"


def test_a_program_of_another_machine(box: Box) -> None:
    """A file for another architecture is 126 and one line; no shell tries to read it."""
    program = box.state / "foreign"
    header = bytearray(Path("/bin/busybox").read_bytes()[:64])
    header[18:20] = b"\xf3\x00" if header[18] != 0xF3 else b"\xb7\x00"  # e_machine (elf(5))
    program.write_bytes(header)
    program.chmod(0o755)
    done = box.run(box.sheltie(str(program)))

    assert (done.returncode, done.stderr.count(b"\n")) == (126, 1)
    assert b"Exec format error [NOT_EXECUTABLE]" in done.stderr
