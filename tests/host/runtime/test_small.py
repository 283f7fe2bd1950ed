"""Small parts of the runtime room: users, cgroups, overlay options, programs' words, stay."""

import subprocess
import sys
from pathlib import Path

import pytest

from contract import places
from contract.errors import MachineError, NotFoundError
from host.runtime import kernel, programs, rootfs, stay, users
from host.runtime.cgroups import Cgroups, mount_points

PASSWD = (
    "root:x:0:0:root:/root:/bin/sh\nbroken line\nlogin:x:1000:100::/home/l:/bin/sh\nodd:x:a:b:::\n"
)
GROUP = "users:x:100:\napi:x:274:other,login\nbad:x:x:login\nwheel:x:10:root\n"
HYBRID = """\
30 20 0:25 / /sys/fs/cgroup rw - tmpfs tmpfs rw
31 30 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
32 30 0:27 / /sys/fs/cgroup/systemd rw shared:3 - cgroup cgroup rw,name=systemd
33 30 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
34 30 0:28 / /mnt/again rw - cgroup2 cgroup2 rw
35 30 0:26 /inner /mnt/part rw - cgroup cgroup rw,memory
"""


def test_users_by_name_and_number() -> None:
    """A user has the groups that name it; a number without an entry is itself."""
    login = users.User(1000, 100, (274,), "/home/l")

    assert users.parse("login", PASSWD, GROUP) == login
    assert users.parse("1000", PASSWD, GROUP) == login
    assert users.parse("7", PASSWD, GROUP) == users.User(7, 7, (), "/")
    assert users.parse("root", PASSWD, GROUP).groups == (10,)


@pytest.mark.parametrize("name", ["nobody", "odd", "", "broken line", "-1"])
def test_users_that_are_not_there(name: str) -> None:
    """An unknown name is an error, also where a line is broken."""
    with pytest.raises(NotFoundError):
        users.parse(name, PASSWD, GROUP)


def test_links_in_a_container_stay_in_it(tmp_path: Path) -> None:
    """An absolute link and one that climbs out end in the container's root."""
    import os

    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/real").write_text("inside")
    (tmp_path / "etc/passwd").symlink_to("/etc/real")
    (tmp_path / "etc/group").symlink_to("../../../../../etc/real")
    root = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    try:
        for name in ("/etc/passwd", "/etc/group"):
            with os.fdopen(kernel.open_in_root(root, name, os.O_RDONLY)) as file:
                assert file.read() == "inside"
    finally:
        os.close(root)


def test_hierarchies_are_found_once() -> None:
    """Every hierarchy once, by its root; the ones that end services are told apart."""
    assert [kind for _, kind in mount_points(HYBRID)] == ["memory", "name=systemd", "cgroup2"]
    cgroups = Cgroups.of(Path("/elsewhere"), HYBRID)
    assert [path.name for path in cgroups.killing] == ["systemd", "unified"]


def test_two_daemons_have_different_cgroups() -> None:
    """The usual daemon's parent is `sheltie`; any other's says which state it is of."""
    usual = Cgroups.of(Path(places.STATE), HYBRID)
    other = Cgroups.of(Path("/elsewhere"), HYBRID)

    assert usual.path("admin") == "/sheltie/admin"
    assert other.path("admin").startswith("/sheltie-")


def test_overlay_options_escape_separators() -> None:
    """A comma or a colon in a path is no separator."""
    made = rootfs.options(Path("/a,b:c"), Path("/u,:"), Path("/w\\"))

    assert made == r"lowerdir=/a\,b\:c,upperdir=/u\,:,workdir=/w\\,volatile"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (b"", "it gave no reason"),
        (b"one\ntwo\n\n", "two"),
        (b"\x1b[1;31m2026-11-24T16:36:11.012491Z: not found\x1b[0m\n", "not found"),
        (b'time="x" level=error msg="exec: \\"/no\\": none"\n', 'exec: "/no": none'),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_a_programs_last_words(words: bytes, line: str) -> None:
    """Colours, times and log wrapping are taken off."""
    assert programs.last_line(words) == line


async def test_running_a_program() -> None:
    """Status and both outputs come back; the environment is ours."""
    done = await programs.run(["/bin/sh", "-c", "echo $PATH; echo no >&2; exit 3"])

    assert (done.status, done.err) == (3, b"no\n")
    assert done.out.decode().strip() == programs.ENVIRONMENT["PATH"]
    assert (await programs.run(["/bin/sh", "-c", "kill -9 $$"])).status == 137


def test_a_missing_program_names_its_package() -> None:
    """The error says what to install."""
    with pytest.raises(MachineError) as caught:
        programs.find("no-such-program")
    assert "no-such-program" in caught.value.hint


@pytest.mark.parametrize(("script", "status"), [("exit 7", 7), ("kill -9 $$", 137)])
def test_staying_returns_the_orphans_status(tmp_path: Path, script: str, status: int) -> None:
    """The process that a detaching program leaves is waited for."""
    pid = tmp_path / "pid"
    detach = f"sh -c 'sleep 0.1; {script}' & echo $! > {pid}"
    argv = [sys.executable, "-I", "-S", stay.__file__, str(pid), "/bin/sh", "-c", detach]

    assert subprocess.run(argv, check=False, timeout=20).returncode == status


def test_staying_says_when_nothing_was_started(tmp_path: Path) -> None:
    """A runtime that fails leaves its own words and our status."""
    argv = [sys.executable, "-I", "-S", stay.__file__, str(tmp_path / "pid")]
    argv += ["/bin/sh", "-c", "echo no; exit 1"]
    done = subprocess.run(argv, check=False, capture_output=True, timeout=20)

    assert (done.returncode, done.stdout) == (stay.NOT_STARTED, b"no\n")
