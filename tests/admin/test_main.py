"""The command `admin` as people and programs run it, with accounts of its own."""

import json
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.admin.keeper.keys import user_data
from tests.admin.private import private
from tests.admin.ssh.door import make_key
from tests.somebody import somebody

ADMIN = [sys.executable, "-I", "-m", "admin"]
HEAVY = {"asyncio", "asyncssh", "cryptography", "paramiko", "rich", "msgspec", "pydantic"}
SECONDS = 30
LOOPBACK = ("--listen", "127.0.0.1:0")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
pytestmark = pytest.mark.timeout(90)
Done = subprocess.CompletedProcess[str]
Server = subprocess.Popen[bytes]


def admin(*words: str, stdin: str | None = None) -> Done:
    """Run a command of admin to its end."""
    return subprocess.run(
        [*ADMIN, *words], input=stdin, capture_output=True, text=True, check=False, timeout=SECONDS
    )


def line(done: Done, status: int) -> str:
    """Return the one line of a command that must fail with this status."""
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (status, "", 1), done.stderr
    assert done.stderr.startswith("admin: ")
    return done.stderr


@dataclass
class Site:
    """A directory with user-data and a key, and the servers started there."""

    directory: Path
    servers: list[Server] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.identity, self.key = make_key(self.directory, "operator")
        self.user_data.write_bytes(user_data(self.key))

    @property
    def user_data(self) -> Path:
        """Where user-data lies."""
        return self.directory / "user-data"

    @property
    def state(self) -> list[str]:
        """The option that names the state."""
        return ["--state", str(self.directory / "state")]

    @property
    def places(self) -> list[str]:
        """The options of a server."""
        return ["--user-data", str(self.user_data), *self.state, *LOOPBACK, "--accounts"]

    @property
    def log(self) -> str:
        """What the servers said so far."""
        return (self.directory / "log").read_text()

    def start(self, *more: str, before: Sequence[str] = (), word: str = "INFO ready ") -> Server:
        """Start a server with accounts of its own, and wait until its log has this word."""
        box = Path(tempfile.mkdtemp(prefix="box-", dir=self.directory))
        argv = [*before, *ADMIN, "serve", *self.places, *more]
        seen = len(self.log) if self.servers else 0
        with (self.directory / "log").open("ab") as log:
            server = subprocess.Popen(private(box, argv), stdin=subprocess.DEVNULL, stderr=log)
        self.servers.append(server)
        self.until(word, seen)
        return server

    def until(self, word: str, seen: int) -> str:
        """Wait for a line with this word in the log behind `seen`, and return it."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            lines = self.log[seen:].splitlines(keepends=True)
            for text in lines:
                if word in text and text.endswith("\n"):
                    return text
            if self.servers[-1].poll() is not None:
                break
            time.sleep(0.02)
        pytest.fail(f"no {word!r} in {self.log}")

    def status(self) -> dict[str, object]:
        """Return what the rpc says."""
        found: dict[str, object] = json.loads(admin("status", "--json", *self.state).stdout)
        return found

    def ssh(
        self, *command: str, stdin: int = subprocess.DEVNULL, user: str = ""
    ) -> subprocess.Popen[str]:
        """Start the real client with the host key that the rpc tells."""
        asked = admin("rpc", *self.state, stdin='{"id": 1, "method": "host-keys"}\n')
        told = json.loads(asked.stdout)["result"]
        host, port = told["listen"][0]
        known = self.directory / "known_hosts"
        known.write_text("".join(f"[{host}]:{port} {key}\n" for key in told["keys"]))
        options = ("BatchMode=yes", "IdentitiesOnly=yes", "LogLevel=ERROR",
                   "StrictHostKeyChecking=yes", f"UserKnownHostsFile={known}")  # fmt: skip
        words = [word for option in options for word in ("-o", option)]
        where = [
            "-F",
            "none",
            "-i",
            str(self.identity),
            *words,
            "-p",
            str(port),
            "-l",
            user or told["user"],
        ]
        return subprocess.Popen(
            ["ssh", *where, host, *command], stdin=stdin, stdout=subprocess.PIPE, text=True
        )

    def output(self, *command: str, user: str = "") -> str:
        """Return what a command prints through the door; it must succeed."""
        client = self.ssh(*command, user=user) if user else self.ssh(*command)
        out, _ = client.communicate(timeout=SECONDS)
        assert client.returncode == 0, out
        return out


@pytest.fixture
def site() -> Iterator[Site]:
    """Give a directory that others may enter, and end what was started."""
    directory = Path(tempfile.mkdtemp(prefix="admin-", dir="/tmp"))
    directory.chmod(0o755)
    site = Site(directory)
    yield site
    for server in site.servers:
        server.kill()
        server.wait(SECONDS)
    shutil.rmtree(directory)


@pytest.mark.privileged
@needs_root
class TestServe:
    """The server, with the real client."""

    def test_root_serves_the_user_of_user_data(self, site: Site) -> None:
        """The account is made, a key logs in as it, in both groups, and status tells of it."""
        site.start()
        shown = admin("status", *site.state)

        assert site.output("id -un; id -Gn").split() == ["ec2-user", "ec2-user", "users", "api"]
        assert shown.stdout.startswith("door: open: somebody may log in\nuser: ec2-user\n")
        assert "SHA256:" in shown.stdout
        assert (site.status()["ready"], site.status().get("problems", [])) == (True, [])
        assert 'INFO boot step="useradd ' in site.log
        with pytest.raises(KeyError):
            pwd.getpwnam("ec2-user")

    def test_check(self, site: Site) -> None:
        """Each step is a line; what is otherwise is exit status 1; status tells of the last one."""
        site.start()
        good = admin("check", *site.state)
        for kind in ("ed25519", "ecdsa", "rsa"):
            stored = site.directory / f"state/etc/ssh/ssh_host_{kind}_key.pub"
            stored.unlink(missing_ok=True)
        bad = admin("check", "--json", *site.state)
        shown = admin("status", *site.state).stdout

        assert (good.returncode, good.stdout.count("\n"), good.stderr) == (0, 4, "")
        assert bad.returncode == 1
        assert json.loads(bad.stdout)["ok"] is False
        assert "check: FAILED: the host key" in shown

    def test_rpc(self, site: Site) -> None:
        """Lines in, lines out, each with its id, good or bad."""
        site.start()
        lines = (
            '{"id": 1, "method": "status"}\n{"id": 2, "method": "host-keys"}\n'
            'x\n{"id": 3, "method": "y"}\n'
        )
        done = admin("rpc", *site.state, stdin=lines)
        replies = [json.loads(text) for text in done.stdout.splitlines()]

        assert (done.returncode, done.stderr) == (0, "")
        assert [one["id"] for one in replies] == [1, 2, 0, 3]
        assert [one.get("error", {}).get("code") for one in replies] == [
            None, None, "RPC_MESSAGE", "RPC_METHOD"
        ]  # fmt: skip
        assert replies[1]["result"]["keys"][0].startswith("ssh-ed25519 ")

    def test_term_ends_everything_within_two_seconds(self, site: Site) -> None:
        """With somebody logged in: the session is ended, the socket is gone, the status is 0."""
        server = site.start()
        client = site.ssh("echo $$; exec sleep 300")
        assert client.stdout is not None
        descriptor = os.pidfd_open(int(client.stdout.readline()))
        begun = time.monotonic()
        server.terminate()
        assert server.wait(SECONDS) == 0
        took = time.monotonic() - begun

        assert took < 2
        assert site.log.endswith("INFO ended\n")
        assert "Traceback" not in site.log
        assert client.wait(SECONDS) == 255
        assert select.select([descriptor], [], [], SECONDS)[0], "the session lives"
        assert not (site.directory / "state/run/admin.sock").exists()
        os.close(descriptor)
        client.stdout.close()

    def test_term_with_an_rpc_caller_who_says_nothing(self, site: Site) -> None:
        """A caller who only holds a connection does not hold the end up."""
        server = site.start()
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(site.directory / "state/run/admin.sock"))
            begun = time.monotonic()
            server.terminate()
            server.wait(SECONDS)

        assert (server.returncode, time.monotonic() - begun < 2) == (0, True)

    def test_a_second_server_on_one_state(self, site: Site) -> None:
        """It ends with one line, and the first one serves on."""
        site.start()
        told = line(admin("serve", *site.places), 5)

        assert "another admin serve runs on " in told
        assert "[KEEPER_RUNNING]" in told
        assert site.output("echo in") == "in\n"

    def test_a_killed_server_is_followed_by_the_next(self, site: Site) -> None:
        """After kill -9 the next one takes socket and lock, with the same host key."""
        first = site.start()
        keys = admin("rpc", *site.state, stdin='{"id": 1, "method": "host-keys"}\n').stdout
        first.kill()
        first.wait(SECONDS)
        told = line(admin("status", *site.state), 7)
        site.start()
        again = admin("rpc", *site.state, stdin='{"id": 1, "method": "host-keys"}\n').stdout

        assert "admin serve" in told
        before, after = (json.loads(each)["result"]["keys"] for each in (keys, again))
        assert after[: len(before)] == before  # RSA's comes a moment later
        assert site.output("echo in") == "in\n"

    def test_a_taken_port(self, site: Site) -> None:
        """The server stays up and says in status and log which address it cannot have."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            site.start("--listen", address, word="ERROR down")
            told = site.until("ERROR down", 0)
            shown = admin("status", *site.state)

        assert f"cannot listen on {address}: Address already in use" in told
        assert "code=PORT_UNUSABLE" in told
        assert shown.returncode == 0
        assert shown.stdout.startswith("door: shut: nobody can log in\n")
        assert f"problem: cannot listen on {address}" in shown.stdout
        site.until("INFO ready ", 0)
        assert site.output("echo in") == "in\n"

    def test_user_data_is_read_again(self, site: Site) -> None:
        """A file replaced beside a running server counts, and nobody is thrown out."""
        site.start()
        client = site.ssh("echo up; cat", stdin=subprocess.PIPE)
        assert client.stdout is not None
        assert client.stdout.readline() == "up\n"
        site.user_data.write_text("{")
        site.until("nobody can log in", 0)
        seen = len(site.log)
        assert site.status()["ready"] is False
        other = site.user_data.with_name("other")
        other.write_bytes(user_data(site.key))
        other.rename(site.user_data)
        site.until("INFO user-data ", seen)
        assert site.output("echo in") == "in\n"
        assert client.communicate("still", timeout=SECONDS)[0] == "still"

    def test_without_root(self, site: Site) -> None:
        """The server says what does not work, and the login is as the user who runs it."""
        make = "useradd -m -s /bin/bash dev"
        rest = f'exec {" ".join(somebody("dev"))} "$@"'
        site.start(before=["sh", "-ec", f"{make}; {rest}", "sh"])

        assert "login is as the current user, and sheltie needs root" in site.log
        assert site.output("id -un; echo $HOME").split()[0] == "dev"
        assert site.status()["user"] == "dev"

    def test_on_somebodys_own_machine(self, site: Site) -> None:
        """With a state of its own no account is changed unasked: the login is its user's."""
        site.start("--no-accounts")

        assert site.output("id -un", user="root").strip() == "root"
        assert site.status()["user"] == "root"
        assert "useradd" not in site.log
        assert "NOPASSWD" not in site.log

    def test_a_client_may_not_choose_another_user(self, site: Site) -> None:
        """Root is no login here."""
        site.start()
        client = site.ssh("true", user="root")

        assert client.wait(SECONDS) == 255
        assert client.stdout is not None
        client.stdout.close()


BAD = [
    (["--listen", "door:22"], 2, "unusable address 'door:22'"),
    (["--listen", "127.0.0.1"], 2, "write ADDRESS:PORT"),
    (["--listen", "::1:22"], 2, "in brackets"),
    (["--listen", "127.0.0.1:99999"], 2, "unusable address"),
    (["--user-data", "/"], 2, "/ is a directory"),
    (["--user-data", "/nowhere/user-data"], 2, "there is no directory /nowhere"),
    (["--user-data", "/etc/passwd/x"], 2, "there is no directory /etc/passwd"),
    (["--user-data", "/" + "x" * 300 + "/y"], 6, "File name too long"),
    (["--state", "/etc/passwd"], 6, "cannot make directory /etc/passwd/run"),
    (["--state", "/proc/nowhere"], 6, "cannot make directory /proc/nowhere"),
    (["--nonsense"], 2, "see admin --help"),
    (["--listen"], 2, "--listen"),
]


@pytest.mark.parametrize(("words", "status", "told"), BAD)
def test_a_start_that_cannot_be(tmp_path: Path, words: list[str], status: int, told: str) -> None:
    """One line that names the thing, no traceback, nothing begun."""
    done = admin(
        "serve", "--user-data", str(tmp_path / "u"), "--state", str(tmp_path / "s"), *words
    )

    assert told in line(done, status)
    assert not (tmp_path / "s").exists() or not list((tmp_path / "s").rglob("*.sock"))


@pytest.mark.privileged
@needs_root
def test_user_data_where_one_may_not_look(tmp_path: Path) -> None:
    """A directory that is closed to the caller is named, without a traceback."""
    # Another's working directory needs more than a mode that lets one in (proc_pid_cwd(5)).
    closed = f"/proc/{os.getpid()}/cwd"
    argv = [
        *somebody(),
        *ADMIN,
        "serve",
        "--user-data",
        f"{closed}/in/user-data",
        "--state",
        str(tmp_path / "s"),
    ]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip

    assert "in/user-data: Permission denied" in line(done, 6)


@pytest.mark.parametrize("words", [["status"], ["status", "--json"]])
def test_status_without_a_server(tmp_path: Path, words: list[str]) -> None:
    """Exit status 7 and what to do."""
    assert "admin serve" in line(admin(*words, "--state", str(tmp_path)), 7)


def test_rpc_without_a_server(tmp_path: Path) -> None:
    """Programs get an error reply on stdout, and exit status 7."""
    done = admin("rpc", "--state", str(tmp_path), stdin='{"id": 4, "method": "status"}\n')

    assert (done.returncode, done.stderr) == (7, "")
    assert json.loads(done.stdout)["id"] == 4


@pytest.mark.parametrize("words", [["nonsense"], ["status", "x"], ["rpc", "--nope"], ["--nope"]])
def test_usage(words: list[str]) -> None:
    """A wrong command line is one line."""
    assert "see admin --help" in line(admin(*words), 2)


@pytest.mark.parametrize("words", [["rpc", "--state", "/tmp"], ["--state", "/tmp", "rpc"], ["rpc"]])
def test_interrupted(words: list[str]) -> None:
    """Ctrl-C is no traceback."""
    process = subprocess.Popen(
        [*ADMIN, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"x\n")
    process.stdin.flush()
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=SECONDS)

    assert b"Traceback" not in told
    assert process.returncode == 130


@pytest.mark.parametrize("words", [["--help"], ["rpc", "--state", "/tmp"]])
def test_nobody_reads(words: list[str]) -> None:
    """Output into a closed pipe is no traceback."""
    process = subprocess.Popen(
        [*ADMIN, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stdin.write(b"x\n")
    process.stdin.close()
    told = process.stderr.read()
    process.stderr.close()

    assert (process.wait(SECONDS) != 0, told) == (True, b"")


MODULES = """
import sys
sys.argv = {argv!r}
from admin.__main__ import main
try:
    status = main()
except SystemExit as error:
    status = error.code
print(*sorted({{name.partition(".")[0] for name in sys.modules}}), file=sys.stderr)
sys.exit(status)
"""


def loaded(*words: str) -> set[str]:
    """Return the top-level modules that a command loaded."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", MODULES.format(argv=["admin", *words])],
        input='{"id": 1, "method": "status"}\n', capture_output=True, text=True, check=False,
        timeout=SECONDS,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["serve", "--help"], ["status", "--help"], []]
)
def test_help_and_version_import_nothing_heavy(words: list[str]) -> None:
    """They cost the parser alone."""
    assert not loaded(*words) & HEAVY


def test_rpc_starts_without_parser_and_event_loop() -> None:
    """Control waits for `admin rpc`: neither the parser nor asyncio is loaded for it."""
    assert not loaded("rpc") & (HEAVY - {"msgspec"} | {"typer"})


def test_help_tells_a_newcomer() -> None:
    """The page names each command and the way to the host."""
    done = admin("--help")

    assert done.returncode == 0
    assert all(word in done.stdout for word in ("serve", "status", "check", "rpc", "sheltie"))
    assert admin("--version").stdout.count(".") == 2
