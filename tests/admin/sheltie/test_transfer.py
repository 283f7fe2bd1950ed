"""Files to and from the host: whole, with their digest, and no surprise followed."""

import hashlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.admin.sheltie.conftest import Box
from tests.admin.sheltie.test_terminal import wait_for

pytestmark = pytest.mark.privileged

DATA = os.urandom(3 << 20) + b"\0\n"
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def place(box: Box, tmp_path: Path) -> Iterator[Path]:
    """A directory that the host can write to, and that the machine sees at the same path."""
    made = box.state / tmp_path.name
    made.mkdir()
    yield made
    assert [one.name for one in made.iterdir() if one.name.startswith(".")] == []


def inside(box: Box, command: str) -> bytes:
    """Return what a shell in the container prints."""
    return box.run(box.argv("sh", "-c", command)).stdout


def test_get_brings_a_file_whole(box: Box, place: Path) -> None:
    """The bytes are the host's, the digest is sha256sum's, and the file is private."""
    (place / "log").write_bytes(DATA)
    done = box.run(box.sheltie("get", f"{place}/log", "/tmp/got"))

    assert (done.stderr, done.returncode) == (b"", 0)
    assert done.stdout.decode() == f"{DIGEST}  {place}/log\n"
    assert inside(box, "sha256sum </tmp/got").split()[0].decode() == DIGEST
    assert inside(box, "stat -c %a /tmp/got") == b"600\n"


def test_get_without_a_place_comes_here(box: Box, place: Path) -> None:
    """The name is kept; a directory is filled; `-` is standard output, the digest stays beside."""
    (place / "log").write_bytes(DATA)
    here = ["env", "-C", "/run", *box.sheltie("get", f"{place}/log")[len(box.argv()) :]]
    assert box.run(box.argv(*here)).returncode == 0
    assert box.run(box.sheltie("get", f"{place}/log", "/tmp")).returncode == 0
    assert inside(box, "cat /run/log /tmp/log") == DATA + DATA
    done = box.run(box.sheltie("get", f"{place}/log", "-"))
    assert (done.stdout, done.stderr.decode()) == (DATA, f"{DIGEST}  {place}/log\n")


def test_get_reads_what_has_no_size(box: Box) -> None:
    """A file of /proc says that it is empty, and is not."""
    done = box.run(box.sheltie("get", "/proc/sys/kernel/hostname", "-"))

    assert done.stdout == b"standin\n"


def test_get_gives_to_whom_sudo_made_root(box: Box, place: Path) -> None:
    """What the login user gets is theirs."""
    (place / "log").write_bytes(b"x")
    sudo = {**os.environ, "SUDO_UID": "4711", "SUDO_GID": "4712"}
    assert box.run(box.sheltie("get", f"{place}/log", "/tmp/theirs"), env=sudo).returncode == 0

    assert inside(box, "stat -c %u:%g /tmp/theirs") == b"4711:4712\n"


def test_put_places_a_file_whole(box: Box, place: Path) -> None:
    """A new file has the local one's mode; one that is replaced keeps owner and mode."""
    (place / "old").write_bytes(b"old")
    (place / "old").chmod(0o640)
    os.chown(place / "old", 4713, 4714)
    inside(box, "printf new >/tmp/new; chmod 755 /tmp/new")
    for name in ("fresh", "old"):
        done = box.run(box.sheltie("put", "/tmp/new", f"{place}/{name}"))
        expected = f"{hashlib.sha256(b'new').hexdigest()}  {place}/{name}\n"
        assert (done.stdout.decode(), done.stderr) == (expected, b"")
        assert (place / name).read_bytes() == b"new"
    assert (place / "fresh").stat().st_mode & 0o7777 == 0o755
    status = (place / "old").stat()
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o640, 4713, 4714)
    assert box.run(box.sheltie("put", "/tmp/new", str(place))).returncode == 0
    assert (place / "new").read_bytes() == b"new"


def test_put_takes_standard_input(box: Box, place: Path) -> None:
    """`-` is what comes through the pipe."""
    done = box.run(box.sheltie("put", "-", f"{place}/piped"), input=DATA)

    assert done.stdout.decode() == f"{DIGEST}  {place}/piped\n"
    assert (place / "piped").read_bytes() == DATA


@pytest.mark.parametrize("kind", ["link", "fifo", "socket", "directory", "device"])
def test_surprises_are_not_followed(box: Box, place: Path, kind: str) -> None:
    """Neither way leads through a link, nor hangs at a FIFO; one line says what is there."""
    path, secret = place / kind, place / "secret"
    secret.write_bytes(b"secret")
    with socket.socket(socket.AF_UNIX) as listener:
        if kind == "link":
            path.symlink_to(secret)
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "socket":
            listener.bind(str(path))
        elif kind == "directory":
            path.mkdir()
            (path / "directory").symlink_to(secret)
        else:
            path = Path("/dev/null")
        got = box.run(box.sheltie("get", str(path), "/tmp/surprise"))
        target = f"{path}/directory" if kind == "directory" else str(path)
        put = box.run(box.sheltie("put", "-", target), input=b"new")

    for done in (got, put):
        assert (done.stdout, done.returncode, done.stderr.count(b"\n")) == (b"", 5, 1)
        assert b"COPY_SURPRISE" in done.stderr
    assert secret.read_bytes() == b"secret"
    assert inside(box, "ls /tmp/surprise 2>&1").endswith(b"No such file or directory\n")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("get", "/no/such"), b"COPY_MISSING"),
        (("put", "/no/such", "/tmp/x"), b"COPY_MISSING"),
        (("put", "-", "/no/such/place"), b"COPY_MISSING"),
        (("put", "-", "/etc/motd"), b"COPY_FAILED"),  # the host's root cannot be written to
        (("put", "-", "/tmp/.."), b"COPY_NAME"),
    ],
)
def test_what_fails_says_so_in_one_line(box: Box, words: tuple[str, ...], code: bytes) -> None:
    """A missing file or place, a read-only host, a name that is none."""
    done = box.run(box.sheltie(*words), input=b"x")

    assert (done.stdout, done.stderr.count(b"\n")) == (b"", 1)
    assert done.returncode
    assert code in done.stderr


def test_a_full_disk_leaves_the_old_file(box: Box, place: Path) -> None:
    """What does not fit is not there at all, and what was there still is."""
    (place / "small").mkdir()
    box.on_host("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place / "small"))
    try:
        box.on_host("sh", "-c", f"echo old >{place}/small/file")
        done = box.run(box.sheltie("put", "-", f"{place}/small/file"), input=DATA)
        assert b"No space left on device [COPY_FAILED]" in done.stderr
        assert box.on_host("ls", "-A", f"{place}/small") == "file"
        assert box.on_host("cat", f"{place}/small/file") == "old"
    finally:
        box.on_host("umount", str(place / "small"))


def test_an_interrupted_put_leaves_nothing(box: Box, place: Path) -> None:
    """TERM in the middle removes the unfinished file."""
    with subprocess.Popen(box.sheltie("put", "-", f"{place}/file"), stdin=subprocess.PIPE) as put:
        assert put.stdin is not None
        put.stdin.write(DATA)
        put.stdin.flush()
        wait_for(lambda: list(place.iterdir()) != [])
        (child,) = Path(f"/proc/{put.pid}/task/{put.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGTERM)
        assert put.wait(10) == 128 + signal.SIGTERM
    assert list(place.iterdir()) == []


def test_a_target_is_copied_from(box: Box) -> None:
    """With --target the paths are the workload's."""
    done = box.run(box.sheltie("--target", "1", "get", "/proc/sys/kernel/hostname", "-"))

    assert done.stdout == b"standin\n"
