"""A look at a host changes nothing on it and reads what is there to read."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.looking import UIDS
from dev import snapshot
from tests.admin.look.conftest import HERE, PLACE, Ground
from tests.admin.sheltie.conftest import CLONE, PYTHON

pytestmark = [pytest.mark.privileged]

SECRETS = {
    "/etc/shadow": "file",
    "/etc/ssl/private": "directory",
    "/root/.ssh": "directory",
    "/run/credentials": "directory",
    "/run/secrets": "directory",
    "/run/containerd/runc": "directory",
    "/proc/kcore": "file",
    "/proc/kmsg": "file",
    "/proc/keys": "file",
    "/proc/kallsyms": "file",
}


RUN = "import runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"


def state(ground: Ground) -> snapshot.Snapshot:
    """Return the host's state."""
    where = ground.where()
    argv = ["nsenter", "-t", str(ground.box.host), "-a", "--", PYTHON, "-I"]
    argv += ["-c", RUN, str(HERE / "state.py")]
    done = ground.box.run([*argv, PLACE, str(where["pid"])])
    assert done.returncode == 0, done.stderr.decode()
    found: snapshot.Snapshot = json.loads(done.stdout)
    return found


@pytest.fixture
def unchanged(ground: Ground) -> Iterator[None]:
    """Compare the host's state before and after the test."""
    before = state(ground)
    yield
    assert snapshot.differences(before, state(ground)) == []
    assert ground.where()["happened"] == []


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("option", ["--look", "--look-secrets"])
def test_no_attempt_to_change_something_succeeds(ground: Ground, option: str) -> None:
    """Each of two hundred and more attempts meets an error, or has no effect."""

    def run(*command: str, **options: Any) -> "subprocess.CompletedProcess[bytes]":
        return ground.box.run(ground.box.sheltie(option, *command), **options)

    met = ground.attempts(run, "attempts.py", json.dumps(ground.where()))

    assert [name for name, how in met.items() if how == "DONE"] == []
    # An attempt at what this host does not have shows nothing.
    assert len([name for name, how in met.items() if how != "ENOENT"]) >= 200


@pytest.mark.usefixtures("unchanged")
def test_random_calls_change_nothing(ground: Ground) -> None:
    """Thousands of calls that would change things, with any arguments, leave no trace."""
    count = "50000" if os.environ.get("SHELTIE_SOAK") else "5000"
    seed = os.environ.get("SHELTIE_SEED", "7")
    told = ground.attempts(ground.look, "hammer.py", json.dumps(ground.where()), seed, count)

    assert told["batches"] == int(count) // 250
    assert len(told["succeeded"]) > 5  # the hammer does hit: fcntl, memfd_create and the like


READS = [
    ("cat /etc/hostname", ""),
    ("cat /proc/1/cmdline", "catatonit"),
    ("cat /proc/1/status", "catatonit"),
    ("cat /tmp/victim/private", "for root"),
    ("ls /proc/1/fd", "0"),
    ("cat /proc/1/mountinfo", "overlay"),
    ("cat /proc/1/cgroup", ":"),
    ("cat /proc/1/limits", "Max"),
    ("cat /proc/net/tcp", "local_address"),
    ("ps -ef", "catatonit"),
    ("top -b -n 1", "Tasks:"),
    ("pgrep catatonit", "1"),
    ("free", "Mem:"),
    ("vmstat", "procs"),
    ("df /", "overlay"),
    ("findmnt /", "overlay"),
    ("lsblk", "NAME"),
    ("find /etc -name passwd", "/etc/passwd"),
    ("grep -r root: /etc/passwd", "root:"),
    ("tail -n 1 /etc/passwd", "look:"),
    ("stat /etc/passwd", "Size"),
    ("du -s /etc", "/etc"),
    ("tar -cf - /etc/hosts", "hosts"),
    ("sha256sum /bin/sh", "/bin/sh"),
    ("dmesg", "["),
    ("ss -tln", "10250"),
    ("ip addr", "169.254.169.254"),
    ("ip route show table all", "127.0.0.1"),
    ("ipcs", "Shared Memory"),
    ("sysctl kernel.hostname", "kernel.hostname"),
    ("dpkg -l coreutils", "coreutils"),
    ("getent passwd root", "root:"),
    ("uptime", "load"),
    ("last -f /var/log/wtmp", ""),
    ("python3 -c print(6*7)", "42"),
    ("sort -S 64k /etc/services", "ssh"),
    ("less /etc/hosts", "localhost"),
    ("getfattr -d /tmp/victim/file", "user.mark"),
    ("tty", "not a tty"),
    ("id -un", "look"),
]


@pytest.mark.usefixtures("unchanged")
def test_reading_works(ground: Ground) -> None:
    """Processes, logs, files, sockets, mounts, kernel messages: what on-call people read."""
    worked = []
    for command, expected in READS:
        done = ground.look(*command.split(" "))
        if done.returncode == 127:
            continue  # not on this machine
        assert done.returncode == 0 or command == "tty", (command, done)
        assert expected in (done.stdout + done.stderr).decode(errors="replace"), (command, done)
        worked.append(command)

    assert len(worked) >= 25


def test_shell_features_work(ground: Ground) -> None:
    """Pipes, here-documents, substitution and scratch files work in the look's shell."""
    text = (
        "cat <<END | tr a-z A-Z\nhere\nEND\n"
        "cat <(echo substituted)\n"
        "echo scratch >$TMPDIR/x; cat $TMPDIR/x; mkdir $TMPDIR/d; rm -r $TMPDIR/x $TMPDIR/d\n"
        "echo $HOME $USER; ls -A $TMPDIR\n"
    )
    done = ground.box.run(ground.box.sheltie("--look"), input=text.encode())

    assert done.stdout.split() == [b"HERE", b"substituted", b"scratch", b"/dev/shm", b"look"]
    assert (done.stderr, done.returncode) == (b"", 0)


def test_who_looks(ground: Ground) -> None:
    """An uid of its own, no groups, two capabilities at most, no way to more."""
    fields = [_status(ground) for _ in range(3)]
    uids = {one["Uid"] for one in fields}

    assert len(uids) == 3
    for one in fields:
        (uid,) = set(one["Uid"].split())
        assert UIDS[0] <= int(uid) <= UIDS[1]
        assert one["Uid"] == one["Gid"]
        # CAP_SYSLOG only where the host keeps its messages from users.
        expected = (
            0x400000004 if Path("/proc/sys/kernel/dmesg_restrict").read_text()[0] == "1" else 4
        )
        assert {int(one[f"Cap{name}"], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {
            expected
        }
        assert (one["Groups"], one["NoNewPrivs"], one["Seccomp"]) == ("", "1", "2")


def _status(ground: Ground) -> dict[str, str]:
    lines = ground.look("cat", "/proc/self/status").stdout.decode().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_only_the_standard_descriptors_are_open(ground: Ground) -> None:
    """No descriptor leads out of the look."""
    done = ground.look("ls", "/proc/self/fd")
    assert done.stdout.split()[:3] == [b"0", b"1", b"2"]
    assert len(done.stdout.split()) == 4


def _present(ground: Ground, path: str) -> bool:
    return ground.box.on_host("sh", "-c", f"test -e {path} && echo yes") == "yes"


def test_each_secret_is_covered(ground: Ground) -> None:
    """What is masked is not read; with secrets it is, but for what reading eats."""
    ground.box.on_host("sh", "-c", "mkdir -p /run/credentials /run/secrets; echo a >/run/secrets/s")
    seen = []
    for path, kind in SECRETS.items():
        if not _present(ground, path):
            continue
        seen.append(path)
        argv = ["cat", path] if kind == "file" else ["ls", "-A", path]
        done = ground.look(*argv)
        assert done.stdout == b"", path
        if kind == "file":
            assert (done.returncode, b"Permission denied" in done.stderr) == (1, True), path
    assert len(seen) >= 6
    shown = ground.box.run(ground.box.sheltie("--look-secrets", "cat", "/run/secrets/s"))
    assert shown.stdout == b"a\n"
    eaten = ground.box.run(ground.box.sheltie("--look-secrets", "cat", "/proc/kmsg"))
    assert eaten.returncode == 1


def test_a_secret_is_covered_wherever_it_shows(ground: Ground) -> None:
    """A second mount of the same directory, or of a part of it, shows nothing either."""
    ground.box.on_host(
        "sh", "-ec",
        "mkdir -p /run/secrets/part /run/again /run/part /run/above;"
        "echo b >/run/secrets/part/t; echo a >/run/secrets/s;"
        "mount --bind /run/secrets /run/again; mount --bind /run/secrets/part /run/part",
    )  # fmt: skip
    try:
        done = ground.look("ls", "-A", "/run/secrets", "/run/again", "/run/part")
        assert done.stdout.split() == [b"/run/again:", b"/run/part:", b"/run/secrets:"]
    finally:
        ground.box.on_host("umount", "/run/again", "/run/part")


def test_the_daemons_state_is_covered_wherever_it_lies(ground: Ground) -> None:
    """What the owner wishes covered is, and the state's secrets, found by admin's own mount."""
    state = ground.box.on_host("findmnt", "-rno", "TARGET").split()
    (place,) = [one for one in state if one.endswith("/state")]
    here = "/.bottlerocket/host-containers/current"
    wish = json.dumps({"sheltie": {"look-masks": ["/run/wish*/s"], "look-uids": "70001-70009"}})
    ground.box.on_host(
        "sh", "-ec",
        f"cd {place}; mkdir -p settings host-containers/admin/etc/ssh images /run/wished;"
        f"echo a >settings/live.json; echo a >host-containers/admin/etc/ssh/key; echo a >images/i;"
        f"echo a >/run/wished/s; echo a >/run/wished/t;"
        f"echo '{wish}' >host-containers/admin/user-data",
    )  # fmt: skip
    source = f"/.bottlerocket/rootfs{place}/host-containers/admin"
    ground.box.run(ground.box.argv("sh", "-c", f"mkdir -p {here}; mount --bind {source} {here}"))
    try:
        text = f"cat {place}/settings/live.json {place}/host-containers/admin/etc/ssh/key"
        text += f" /run/wished/s; cat {place}/images/i /run/wished/t; id -u"
        done = ground.look("sh", "-c", text)
        *shown, uid = done.stdout.split()
        assert (shown, int(uid) in range(70001, 70010)) == ([b"a", b"a"], True), done
        Path(f"/proc/{ground.box.host}/root{place}/host-containers/admin/user-data").write_text(
            wish.replace("70009", "1")
        )
        done = ground.look("true")
        assert (done.returncode, b"LOOK_SETTINGS" in done.stderr) == (6, True)
    finally:
        ground.box.run(ground.box.argv("umount", here))


BY_HANDLE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
where = os.open("/run", os.O_RDONLY)
handle = bytes.fromhex(sys.argv[1])
found = libc.open_by_handle_at(where, handle, os.O_RDONLY)
print(os.read(found, 99) if found >= 0 else os.strerror(ctypes.get_errno()))
"""
MAKE_HANDLE = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
handle = ctypes.create_string_buffer((128).to_bytes(4, "little") + bytes(132))
number = ctypes.c_int()
assert not libc.name_to_handle_at(-100, b"/run/secrets/s", handle, ctypes.byref(number), 0)
print(handle.raw.hex())
"""


def test_a_secret_is_covered_from_its_handle_too(ground: Ground) -> None:
    """By file handle a mask is no mask: the filter refuses it, whatever Landlock grants."""
    ground.box.on_host("sh", "-c", "mkdir -p /run/secrets; echo a secret >/run/secrets/s")
    handle = ground.box.on_host("/usr/bin/python3", "-I", "-c", MAKE_HANDLE)
    argv = ("/usr/bin/python3", "-I", "-c", BY_HANDLE, handle)

    assert ground.look(*argv).stdout == b"Operation not permitted\n"
    assert b"a secret" in ground.layered("devices,masks,mounts,uid", *argv).stdout
    assert b"a secret" not in ground.layered("masks,seccomp,uid", *argv).stdout


def test_a_fifo_is_not_read_even_with_secrets(ground: Ground) -> None:
    """The runtime's exec.fifo, which starts a container, is out of reach when not masked."""
    argv = ("cat", "/run/containerd/runc/k8s.io/made/exec.fifo")
    done = ground.box.run(ground.box.sheltie("--look-secrets", *argv))

    assert b"Permission denied" in done.stderr
    assert ground.where()["happened"] == []


def test_a_mount_made_later_does_not_appear_writable(ground: Ground) -> None:
    """What the host mounts while somebody looks stays out of the look."""
    argv = ground.box.sheltie("--look")
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as looking:
        assert looking.stdin is not None
        assert looking.stdout is not None
        looking.stdin.write(b"echo up\n")
        looking.stdin.flush()
        assert looking.stdout.readline() == b"up\n"
        ground.box.on_host("sh", "-c", "mkdir -p /run/later; mount -t tmpfs later /run/later")
        try:
            looking.stdin.write(b"echo x >/run/later/x || echo refused\n")
            looking.stdin.close()
            assert looking.stdout.read() == b"refused\n"
            assert ground.box.on_host("ls", "/run/later") == ""
        finally:
            ground.box.on_host("umount", "/run/later")


WITHOUT_LANDLOCK = f"""
import os, struct, sys
sys.path[:0] = [{str(CLONE)!r}]
from admin.look import kernel
code = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x00050026), (0x06, 0, 0, 0x7FFF0000)]
kernel.no_new_privileges()
kernel.filter_calls(b"".join(struct.pack("=HBBI", *one) for one in code))
os.execv(sys.executable, [sys.executable, "-I", "-m", "admin.sheltie", "--look", "true"])
"""


def test_without_landlock_it_is_refused(ground: Ground) -> None:
    """A kernel that answers ENOSYS to Landlock gets one clear line, and nothing is run."""
    done = ground.box.run(ground.box.argv(PYTHON, "-I", "-c", WITHOUT_LANDLOCK))

    assert (done.returncode, done.stdout) == (6, b"")
    assert done.stderr.count(b"\n") == 1
    assert b"NO_LANDLOCK" in done.stderr


def test_a_datagram_socket_as_standard_input_is_refused(ground: Ground) -> None:
    """It would reach every other such socket of the host."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        done = ground.look("true", stdin=theirs.fileno())
    assert (done.returncode, b"LOOK_DESCRIPTOR" in done.stderr) == (2, True)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert ground.look("true", stdin=theirs.fileno()).returncode == 0


DIRECTORY = """
import os
from admin.look.confine import Look
os.dup2(os.open("/tmp", os.O_RDONLY), 0)
Look(secrets=False)
"""


def test_a_directory_as_standard_input_is_refused(ground: Ground) -> None:
    """It would lead past the read-only mounts."""
    done = ground.box.run(ground.box.argv(PYTHON, "-I", "-c", DIRECTORY))

    assert b"LOOK_DESCRIPTOR" in done.stderr or b"no look with a directory" in done.stderr


def test_exit_codes_and_missing_commands(ground: Ground) -> None:
    """As without --look: the command's code, 127, 126."""
    assert ground.look("sh", "-c", "exit 42").returncode == 42
    assert ground.look("no-such-command").returncode == 127
    assert ground.look("/etc/passwd").returncode == 126
