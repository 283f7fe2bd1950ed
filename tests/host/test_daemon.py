"""The daemon as a process: start, end, kill -9, and starts that must fail with one line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.host.api.client import Answer, _ask
from tests.host.keys import decoded, encoded, key_line, keys
from tests.somebody import somebody

ADMIN = "settings.host-containers.admin"


@dataclass
class Site:
    """A state and a run directory, and the daemons started on them."""

    state: Path
    run: Path
    daemons: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def places(self) -> list[str]:
        """Return the options that name the directories."""
        return ["--state", str(self.state), "--run", str(self.run)]

    def start(self, *more: str, **kwargs: Any) -> subprocess.Popen[str]:
        """Start a daemon and wait until it serves."""
        argv = [sys.executable, "-I", "-m", "host", "serve", *self.places, "--runtime", "none"]
        daemon = subprocess.Popen([*argv, *more], stderr=subprocess.PIPE, text=True, **kwargs)
        self.daemons.append(daemon)
        assert daemon.stderr is not None
        lines = []
        for line in daemon.stderr:
            lines.append(line)
            if " ready " in line:
                return daemon
        pytest.fail("".join(lines))

    def hostd(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of hostd to its end."""
        argv = [sys.executable, "-I", "-m", "host", *words]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)

    def ask(self, method: str, target: str, body: Any = None, who: str = "host") -> Answer:
        """Ask over a caller's socket."""
        return _ask(self.run / "api" / who / "api.sock", method, target, body, "application/json")

    def write(self, body: Any, who: str = "host") -> None:
        """Patch, commit and apply."""
        assert self.ask("PATCH", "/settings?tx=t", body, who).status == 204
        assert self.ask("POST", "/tx/commit_and_apply?tx=t", who=who).status == 200


@pytest.fixture
def site() -> Iterator[Site]:
    """Give empty directories with short paths, and end what was started."""
    directory = Path(tempfile.mkdtemp(prefix="hostd-", dir="/tmp"))
    site = Site(directory / "state", directory / "run")
    yield site
    for daemon in site.daemons:
        daemon.kill()
        daemon.communicate(timeout=20)
    shutil.rmtree(directory)


OWNER = {"user": "ops", "ssh": {"authorized-keys": [key_line(9)]}}
BOTH = {
    "admin": {"enabled": False, "user-data": encoded(OWNER), "source": "oci:/x"},
    "control": {"enabled": True},
}


def end(daemon: subprocess.Popen[str], number: int) -> tuple[int, str]:
    """Send the signal and return exit status and log."""
    daemon.send_signal(number)
    _, log = daemon.communicate(timeout=20)
    return daemon.returncode, log


def test_serves_and_ends(site: Site) -> None:
    """TERM ends the daemon with status 0, its sockets are gone, and it said so."""
    daemon = site.start()
    assert site.ask("GET", "/os").status == 200
    status, log = end(daemon, signal.SIGTERM)

    assert (status, "INFO end containers=stay" in log) == (0, True)
    assert not [path for path in site.run.rglob("*") if path.is_socket()]
    assert "Traceback" not in log


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_outlives_a_daemon(site: Site, number: int) -> None:
    """Settings and keys handed over are there again, what was pending is not."""
    daemon = site.start()
    site.write({"motd": "m", "host-containers": BOTH})
    site.write({"host-containers": {"admin": {"enabled": True, "user-data": keys(1)}}}, "control")
    site.ask("PATCH", "/settings", {"motd": "pending"})
    inode = (site.run / "api" / "control").stat().st_ino
    before = site.ask("GET", "/settings").json
    end(daemon, number)
    site.start()

    assert site.ask("GET", "/settings").json == before
    assert site.ask("GET", "/tx/list").json == []
    assert (site.run / "api" / "control").stat().st_ino == inode
    seen = site.ask("GET", f"/settings?keys={ADMIN}.user-data", who="control").json
    shown = decoded(seen["host-containers"]["admin"]["user-data"])
    assert shown["ssh"]["authorized-keys"] == [key_line(9), key_line(1)]
    site.write({"host-containers": {"admin": {"enabled": False}}})
    site.write({"host-containers": {"admin": {"enabled": True}}}, "control")
    seen = site.ask("GET", f"/settings?keys={ADMIN}.user-data", who="admin").json
    shown = decoded(seen["host-containers"]["admin"]["user-data"])
    assert shown["ssh"]["authorized-keys"] == [key_line(9)]


def test_second_daemon(site: Site) -> None:
    """A second daemon on the same state, or the same run directory, ends with one line."""
    site.start()
    other = ["--state", str(site.state) + "2", "--run", str(site.run) + "2"]
    for places in (site.places, [*site.places[:2], *other[2:]], [*other[:2], *site.places[2:]]):
        second = site.hostd("serve", *places, "--runtime", "none")
        assert second.returncode == 5
        assert second.stderr.startswith("hostd: another daemon uses ")
        assert second.stderr.count("\n") == 1
    assert site.ask("GET", "/os").status == 200


def test_status(site: Site) -> None:
    """Hostd status asks the daemon, in words or as JSON; without one it says what to do."""
    silent = site.hostd("status", "--run", str(site.run))
    site.start()
    site.write({"host-containers": BOTH})
    shown = site.hostd("status", "--run", str(site.run))
    document = json.loads(site.hostd("status", "--json", "--run", str(site.run)).stdout)

    assert (silent.returncode, silent.stderr.count("\n")) == (7, 1)
    assert "hostd serve" in silent.stderr
    assert "door: closed" in shown.stdout
    assert "oci:/x" in shown.stdout
    assert document["pid"] == site.daemons[0].pid
    assert [one["state"] for one in document["containers"]] == ["disabled", "failed"]


def test_stop(site: Site) -> None:
    """Hostd stop ends the daemon and returns when it is gone; without one it is fine too."""
    daemon = site.start()
    places = [*site.places, "--runtime", "none"]
    first = site.hostd("stop", *places)
    second = site.hostd("stop", *places)

    assert (first.returncode, first.stderr, second.returncode, second.stderr) == (0, "", 0, "")
    assert daemon.wait(timeout=20) == 0


def test_stock(site: Site) -> None:
    """A stock daemon has no extension, takes every caller for the owner, and can be ended."""
    daemon = site.start("--stock")
    site.write({"host-containers": BOTH})
    evil = {"admin": {"superpowered": True, "source": "oci:/evil"}}
    site.write({"host-containers": evil}, "control")
    status = site.hostd("status", "--run", str(site.run))
    stopped = site.hostd("stop", *site.places, "--runtime", "none")

    assert (status.returncode, status.stderr.count("\n")) == (4, 1)
    assert "is it a stock one" in status.stderr
    assert (stopped.returncode, stopped.stderr) == (0, "")
    assert daemon.wait(timeout=20) == 0


def test_from_ours_to_stock_and_back(site: Site) -> None:
    """Settings stay; keys that were handed over are no part of what a stock host knows."""
    daemon = site.start()
    site.write({"host-containers": BOTH})
    site.write({"host-containers": {"admin": {"enabled": True, "user-data": keys(1)}}}, "control")
    end(daemon, signal.SIGTERM)
    daemon = site.start("--stock")
    seen = site.ask("GET", f"/settings?keys={ADMIN}.user-data", who="control").json
    assert seen["host-containers"]["admin"]["user-data"] == encoded(OWNER)
    site.write({"host-containers": {"admin": {"enabled": False}}}, "control")
    end(daemon, signal.SIGTERM)
    site.start()

    shown = site.ask("GET", f"/settings?keys={ADMIN}.user-data", who="control").json
    line = decoded(shown["host-containers"]["admin"]["user-data"])["ssh"]["authorized-keys"]
    assert line == [key_line(9)]


def test_own_socket_elsewhere(site: Site) -> None:
    """The host's own socket may lie where stock clients look."""
    path = site.run.with_name("api.sock")
    site.start("--socket", str(path))

    assert _ask(path, "GET", "/os", None, "").status == 200
    assert site.hostd("status", "--socket", str(path)).returncode == 0


def failing(site: Site, status: int, *words: str) -> str:
    """Return the one line of a start that must fail with this status."""
    done = site.hostd("serve", *words, "--runtime", "none")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (status, "", 1), done.stderr
    assert done.stderr.startswith("hostd: ")
    return done.stderr


def test_long_run_directory(site: Site) -> None:
    """A run directory too deep for sockets is refused before anything is made."""
    deep = site.run / ("x" * 100)
    line = failing(site, 2, "--state", str(site.state), "--run", str(deep))

    assert "a socket's path ends at 107" in line
    assert not site.state.exists()


def test_unreadable_settings(site: Site) -> None:
    """Settings that cannot be read stop the start with their name, and stay as they are."""
    path = site.state / "settings" / "live.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"version": 1, "ser')
    line = failing(site, 6, *site.places)

    assert f"cannot read {path}: " in line
    assert path.read_text() == '{"version": 1, "ser'


def test_file_in_the_way(site: Site) -> None:
    """A file where a directory belongs is named."""
    site.state.write_text("")

    assert str(site.state) in failing(site, 6, *site.places)


def test_socket_where_none_can_be(site: Site) -> None:
    """A socket in a place where no directory can be made is one line, and no lock stays."""
    line = failing(site, 6, *site.places, "--socket", "/proc/nowhere/api.sock")

    assert "cannot make directory /proc/nowhere" in line
    site.start()


def test_directory_of_others(site: Site) -> None:
    """A directory that others may write, such as /tmp, is refused and not taken over."""
    site.run.mkdir()
    site.run.chmod(0o1777)
    line = failing(site, 6, *site.places)

    assert f"directory {site.run} may be written by others" in line
    assert site.run.stat().st_mode & 0o7777 == 0o1777


@pytest.mark.privileged
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
def test_without_root(site: Site) -> None:
    """Without root the API is served, and status says what does not work."""
    argv = [*somebody(), sys.executable, "-I", "-m", "host", "serve", *site.places]
    daemon = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    site.daemons.append(daemon)
    assert daemon.stderr is not None
    lines = [daemon.stderr.readline(), daemon.stderr.readline()]

    assert any("not root: containers cannot be run" in line for line in lines)
    assert any(" ready " in line for line in lines)
    assert site.ask("GET", "/sheltie/v1/status").json["problems"] != []


@pytest.mark.privileged
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
def test_a_state_and_a_socket_are_enough_without_root(site: Site) -> None:
    """For development: no directory of the system's is touched."""
    argv = [*somebody(), sys.executable, "-I", "-m", "host", "serve"]
    argv += ["--state", str(site.state), "--socket", str(site.state.parent / "api.sock")]
    daemon = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    site.daemons.append(daemon)
    assert daemon.stderr is not None
    seen = ""
    while " ready " not in seen:
        line = daemon.stderr.readline()
        assert line, seen
        seen += line

    assert (site.state / "run/api").is_dir()


def test_help_is_light() -> None:
    """The help imports neither asyncio nor rich nor msgspec: it is there at once."""
    code = (
        "import sys; sys.argv = ['hostd', '--help']\n"
        "from host.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([name for name in ('asyncio', 'rich', 'msgspec', 'h11') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, timeout=30
    )

    assert done.stdout.splitlines()[-1] == "[]"
    words = ["serve", "stop", "status", "exec", "audit", "generations", "events", "logs"]
    words += ["install", "uninstall"]
    assert all(word in done.stdout for word in words)
