"""A login that may only look: whatever it asks for is a look, by real clients at a real door."""

import os
import socket
from pathlib import Path

import pytest

from contract import places
from tests.admin.access.conftest import Access
from tests.e2e.terminal import Terminal

pytestmark = [pytest.mark.privileged, pytest.mark.timeout(180)]

CAPABILITIES = "grep -h Cap /proc/self/status"
DAC_READ_SEARCH, SYSLOG = 1 << 2, 1 << 34


@pytest.fixture(autouse=True)
def _usual(access: Access) -> None:
    """Begin each test with two keys that get only look, one of which is authorized as well."""
    access.configure(**{"look-keys": [access.keys["looker"], access.keys["both"]]})


@pytest.mark.parametrize("who", ["looker", "both"])
def test_a_command_runs_in_a_look(access: Access, who: str) -> None:
    """It stands on the host, as an uid of its own, with the right to read and no other."""
    uid, host, *sets = access.out(who, f"id -u; hostname; {CAPABILITIES}").splitlines()

    assert int(uid) >= 1879048192
    assert host == "standin"
    assert all(not int(one.split()[1], 16) & ~(DAC_READ_SEARCH | SYSLOG) for one in sets)
    assert access.out(who, "cat /proc/self/status | grep NoNewPrivs").split() == [
        "NoNewPrivs:",
        "1",
    ]


def test_who_is_not_named_is_root(access: Access) -> None:
    """Others log in to the container as before."""
    assert access.out("operator", "id -u; hostname").split() == ["0", "box"]
    assert access.ssh("stranger", "true").returncode == 255


@pytest.mark.parametrize(
    "command",
    [
        "touch /run/x", "sudo -n true", "sudo -n sheltie true", "kill -0 1",
        "nsenter -t 1 -a true", "unshare -r true", "mount -t tmpfs x /mnt",
        f"ls {places.PERSISTENT}/user-data", "ls /opt/bin/bash",
        "cat /proc/1/environ", "exec 3<>/dev/tcp/127.0.0.1/10250", "echo x >/proc/sysrq-trigger",
    ],
)  # fmt: skip
def test_nothing_else_can_be_done(access: Access, command: str) -> None:
    """Neither admin's files and sudo nor the host's are in reach."""
    done = access.ssh("looker", command)
    assert done.returncode not in (0, 255), done
    assert done.stdout == b""


def test_codes_and_bytes_come_through(access: Access) -> None:
    """Exit codes, standard input and errors are a command's as everywhere."""
    data = os.urandom(1 << 20)
    done = access.ssh("looker", "cat; echo err >&2; exit 9", input=data)
    assert (done.returncode, done.stdout, done.stderr) == (9, data, b"err\n")
    assert access.ssh("looker", "no-such-command").returncode == 127
    assert access.ssh("looker", input=b"id -u\nexit 3\n").returncode == 3


def test_the_shell_is_a_look(access: Access) -> None:
    """An interactive login says what it is, has a terminal of the host's, and changes nothing."""
    with Terminal(access.argv("looker", options=["-tt"]), rows=30, cols=100) as terminal:
        terminal.expect("you can read this host, and change nothing")
        terminal.expect(r"\[look@standin\(sheltie\)\]\$ ")
        terminal.keys("tty; stty size; id -u\r")
        terminal.expect(r"/dev/pts/\d+\s+30 100\s+\d{10}")
        terminal.keys("echo >/etc/x || echo refused-$((1 + 1))\r")
        terminal.expect("refused-2")
        terminal.keys("exit 5\r")
        assert terminal.wait() == 5


def test_reports_by_name(access: Access) -> None:
    """`sheltie REPORT` is asked of the helper; `sheltie COMMAND` is a look."""
    assert '"mount":"/"' in access.out("looker", "sheltie disk --json")
    assert int(access.out("looker", "sheltie id -u")) >= 1879048192
    names = access.out("looker", "sheltie environ 1")
    assert names.startswith("NAME\n")
    assert "VALUE" not in names


@pytest.mark.parametrize(
    ("line", "status", "code"),
    [
        ("sheltie --look-secrets environ 1", 3, "LOOK_ONLY"),
        ("sheltie --look-secrets", 3, "LOOK_ONLY"),
        ("sheltie leftovers", 3, "LOOK_ONLY"),
        ("sheltie --tools tcpdump", 3, "LOOK_ONLY"),
        ("sheltie --target 1 true", 3, "LOOK_ONLY"),
        ("sheltie --pod x", 3, "LOOK_ONLY"),
        ("sheltie --no-net true", 3, "LOOK_ONLY"),
        ("sheltie get /etc/passwd -", 3, "LOOK_ONLY"),
        ("sheltie put - /etc/passwd", 3, "LOOK_ONLY"),
        ("sheltie 'unclosed", 2, "SHELTIE_USAGE"),
        ("sheltie --no-such-option", 2, "SHELTIE_USAGE"),
    ],
)
def test_what_is_roots_is_refused(access: Access, line: str, status: int, code: str) -> None:
    """One line says so."""
    done = access.ssh("looker", line)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (status, b"", 1), done
    assert f"[{code}]".encode() in done.stderr


def test_no_forwards_and_no_agent(access: Access) -> None:
    """A port is forwarded in no direction, an agent not at all."""
    for options in (["-W", "127.0.0.1:1"], ["-R", "0:127.0.0.1:1", "-oExitOnForwardFailure=yes"]):
        words = [] if options[0] == "-W" else ["true"]
        assert access.box.run(access.argv("looker", *words, options=options)).returncode == 255
    agent = ["ssh-agent", *access.argv("looker", "env; echo end", options=["-A"])[5:]]
    done = access.box.run(access.box.argv(*agent))
    assert done.stdout.endswith(b"end\n")
    assert b"SSH_AUTH_SOCK" not in done.stdout


def test_no_sftp(access: Access) -> None:
    """A copy by SFTP is refused with a line that says what to do."""
    copy = access.client(
        "scp", "looker", ["-P", str(access.port)], "root@127.0.0.1:/etc/hostname", "/tmp"
    )
    done = access.box.run(copy)
    assert done.returncode != 0
    assert b"this login may only look, and has no sftp" in done.stderr


def test_everybody_only_looks(access: Access) -> None:
    """With `sheltie.access` look is what every login gets; an unknown word means that too."""
    for value in ("look", "Root"):
        access.configure(access=value)
        assert int(access.out("operator", "id -u")) >= 1879048192
    access.configure(**{"look-keys": "no list"})
    assert int(access.out("operator", "id -u")) >= 1879048192


def test_a_login_gets_less_but_never_more(access: Access) -> None:
    """A session in an old connection gets what its key may have now, and never more than then."""
    master = ["-M", "-S", "/tmp/master", "-o", "ControlPersist=yes"]
    usual = {"look-keys": [access.keys["looker"], access.keys["both"]]}
    for who, first, section, second in (
        ("operator", 0, {"access": "look"}, 1),
        ("looker", 1, {"look-keys": []}, 1),
    ):
        access.configure(**usual)
        done = access.box.run(access.argv(who, "id -u", options=master))
        assert bool(int(done.stdout)) == first
        try:
            access.configure(**section)
            again = access.box.run(access.argv(who, "id -u", options=["-S", "/tmp/master"]))
            assert bool(int(again.stdout)) == second
        finally:
            access.box.run(access.argv(who, options=["-S", "/tmp/master", "-O", "exit"]))


def test_a_forced_command_is_a_look_too(access: Access) -> None:
    """What a key's line forces runs in the look, whatever is asked for."""
    access.configure(**{"look-keys": [f'command="id -u; echo forced" {access.keys["looker"]}']})
    uid, word = access.out("looker", "sheltie put - /etc/x").split()
    assert (int(uid) >= 1879048192, word) == (True, "forced")


def test_a_look_does_not_touch_the_host(access: Access) -> None:
    """The daemon is told of whoever could be root, and of nobody who can only look."""
    path = access.root / places.API_SOCKET[1:]
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        listening.settimeout(30)
        try:
            access.out("looker", "true")
            access.out("operator", "true")
            connection, _ = listening.accept()
            assert connection.recv(100).startswith(b"POST /sheltie/v1/touched ")
            connection.close()
            listening.settimeout(0)
            with pytest.raises(BlockingIOError):
                listening.accept()
        finally:
            path.unlink()


def test_status_log_and_audit_name_the_level(access: Access) -> None:
    """Who looks is told from who is root, live and afterwards."""
    access.out("looker", "true")
    access.out("operator", "true")
    text = access.until(lambda text: text.count("INFO session-end ") >= 2)
    assert "access=look" in text
    assert "access=root" in text
    shown = access.box.run(access.box.argv(*ADMIN, "status")).stdout.decode()
    assert shown.count("(only look)") == 2
    seen = {(one["code"], one["login"]["access"]) for one in access.audited() if "login" in one}
    both = ("look", "root")
    assert seen >= {(f"session.{what}", one) for what in ("started", "ended") for one in both}


ADMIN = (str(Path(__file__).resolve().parents[3] / ".venv/bin/python"), "-I", "-m", "admin")
