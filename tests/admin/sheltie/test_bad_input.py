"""Odd words, odd terminals, odd hosts: the same answers, in one line where no other fits."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.admin.sheltie.conftest import SHELTIE, Box, made, skip_unless_possible
from tests.e2e.terminal import Terminal

pytestmark = [pytest.mark.privileged, pytest.mark.timeout(120)]

words = st.binary(max_size=40).map(lambda data: data.replace(b"\0", b"-"))


def test_a_megabyte_of_arguments(box: Box) -> None:
    """As much as the kernel lets through to sheltie reaches the command."""
    many = [str(number).rjust(100_000, "x") for number in range(10)]
    done = box.run(box.sheltie("--", "printf", "%s", *many))
    assert (done.stdout, done.stderr) == ("".join(many).encode(), b"")


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(words, max_size=5))
def test_any_bytes_are_words(box: Box, given_: list[bytes]) -> None:
    """Empty words, line ends, and what is no text arrive as they were given."""
    argv = [*map(os.fsencode, box.sheltie("--", "printf", "%s\\0")), *given_]
    expected = b"".join(one + b"\0" for one in given_) or b"\0"
    done = box.run(argv)  # type: ignore[arg-type]
    assert (done.stdout, done.stderr) == (expected, b"")


@pytest.mark.parametrize("command", [["true"], []], ids=["command", "shell"])
def test_a_terminal_that_is_nobodys(box: Box, command: list[str]) -> None:
    """A terminal on the descriptors that does not control us is good enough."""
    argv = box.argv("setsid", "--wait", *SHELTIE, *command)
    with Terminal(argv) as terminal:
        if not command:
            terminal.expect(r"# ")
            terminal.keys("exit\r")
        assert terminal.wait() == 0


def test_a_container_in_the_container(box: Box) -> None:
    """From a container of admin's own, with its PID namespace, the way is the same."""
    nested = ("unshare", "--mount", "--uts", "--ipc", "--net", "--cgroup")
    done = box.run(box.argv(*nested, *SHELTIE, "hostname"))
    assert (done.stdout, done.stderr) == (b"standin\n", b"")


def test_a_container_without_the_hosts_root(box: Box) -> None:
    """Where the host's root is not mounted, PID 1 is not taken for the host's."""
    text = 'umount -l /.bottlerocket/rootfs && exec "$@"'
    done = box.run(box.argv("unshare", "--mount", "sh", "-c", text, "sh", *SHELTIE, "true"))
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (6, b"", 1)
    assert b"[NOT_SUPERPOWERED]" in done.stderr


def foreign(path: Path) -> None:
    """Make a program of another machine: an ELF header of an S/390."""
    path.write_bytes(b"\x7fELF\x02\x02\x01".ljust(18, b"\0") + b"\0\x16" + bytes(44))
    path.chmod(0o755)


def test_a_program_of_another_machine_or_libc(box: Box) -> None:
    """126 and one line: it is there, and cannot be executed here."""
    foreign(box.state / "foreign")
    true = Path(shutil.which("true") or "").resolve().read_bytes()
    loader = true[true.index(b"/lib") :].split(b"\0")[0]
    other = true.replace(loader, b"/lib/ld-musl.so.1".ljust(len(loader), b"\0"))
    (box.state / "musl").write_bytes(other)
    (box.state / "musl").chmod(0o755)
    for name in ("foreign", "musl"):
        done = box.run(box.sheltie(str(box.state / name)))
        assert (done.returncode, done.stderr.count(b"\n")) == (126, 1), done
        assert b"[NOT_EXECUTABLE]" in done.stderr


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A container on a host that has not one program."""
    skip_unless_possible()
    with made(tmp_path_factory.mktemp("empty")) as one:
        static = one.state / "busybox"
        enter = ["nsenter", "-t", str(one.host), "-a", "--", "/bin/busybox"]
        one.run([*enter, "mkdir", "/run/usr"])
        one.run([*enter, "mount", "-t", "tmpfs", "none", "/usr"])
        assert static.exists()
        yield one


def test_a_host_without_any_program(empty: Box) -> None:
    """The static shell brings what it has, looks too; a command is 127."""
    for look in ([], ["--look"]):
        done = empty.run(empty.sheltie(*look), input=b"ls -d /proc; exit 3\n")
        assert (done.returncode, done.stdout, done.stderr) == (3, b"/proc\n", b""), done
        assert empty.run(empty.sheltie(*look, "ls")).returncode == 127
    with Terminal(empty.sheltie()) as terminal:
        terminal.expect(r"# ")
        terminal.keys("ls -d /usr; exit 4\r")
        terminal.expect(r"/usr")
        assert terminal.wait() == 4


def test_a_host_of_another_machine(empty: Box) -> None:
    """Where the host's own programs cannot run here, the shell is the one with its own tools."""
    place = Path(f"/proc/{empty.host}/root/usr/bin")
    place.mkdir()
    foreign(place / "ls")
    try:
        done = empty.run(empty.sheltie(), input=b"ls -d /proc; readlink /proc/$$/exe\n")
        assert done.stdout.split() == [b"/proc", b"/opt/bin/busybox"]
        assert empty.run(empty.sheltie("ls")).returncode == 126
    finally:
        shutil.rmtree(place)
