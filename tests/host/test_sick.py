"""A host that is ill: the daemon starts, shows what it can, says why, and recovers by itself."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.host.api.client import Answer, _ask
from tests.host.image import tiny
from tests.host.keys import decoded, encoded, key_line, keys

pytest_plugins = ("tests.host.inside",)
INSIDE = True
pytestmark = [
    pytest.mark.privileged,
    pytest.mark.timeout(120),
]

OWNER = {"user": "ops", "ssh": {"authorized-keys": [key_line(9)]}}
SETTINGS = {
    "motd": "before",
    "host-containers": {
        "admin": {"enabled": False, "source": "oci:/x", "user-data": encoded(OWNER)},
        "control": {"enabled": True},
    },
}


@dataclass
class Disk:
    """A file system of a few megabytes for the state, and the daemons that ran on it."""

    home: Path
    daemons: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def mounted(self) -> Path:
        """Where the file system is."""
        return self.home / "disk"

    @property
    def state(self) -> Path:
        """The state directory, on it."""
        return self.mounted / "state"

    @property
    def run(self) -> Path:
        """The run directory, elsewhere."""
        return self.home / "run"

    def mount(self, options: str) -> None:
        """Mount it, or mount it otherwise."""
        argv = ["mount", "-t", "tmpfs", "-o", options, "disk", str(self.mounted)]
        subprocess.run(argv, check=True, timeout=20)

    def cover(self) -> None:
        """Make it read-only where somebody has a file open for writing: by a mount on top."""
        where = str(self.mounted)
        subprocess.run(["mount", "--bind", where, where], check=True, timeout=20)
        subprocess.run(["mount", "-o", "remount,bind,ro", where], check=True, timeout=20)

    def fill(self) -> None:
        """Use up every byte."""
        found = os.statvfs(self.mounted)
        (self.mounted / "filler").write_bytes(bytes(found.f_bavail * found.f_frsize))

    def make_room(self) -> None:
        """Give it back."""
        (self.mounted / "filler").unlink()

    def start(self, runtime: str = "none") -> subprocess.Popen[str]:
        """Start a daemon and wait until it serves."""
        argv = [sys.executable, "-I", "-m", "host", "serve", "--runtime", runtime]
        argv += ["--state", str(self.state), "--run", str(self.run)]
        daemon = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
        self.daemons.append(daemon)
        assert daemon.stderr is not None
        seen = []
        for line in daemon.stderr:
            seen.append(line)
            if " ready " in line:
                return daemon
        pytest.fail("".join(seen))

    def end(self) -> None:
        """End the last daemon; it must end as asked."""
        self.daemons[-1].send_signal(signal.SIGTERM)
        self.daemons[-1].communicate(timeout=20)
        assert self.daemons[-1].returncode == 0

    def ask(self, method: str, target: str, body: Any = None, who: str = "host") -> Answer:
        """Ask over a caller's socket."""
        return _ask(self.run / "api" / who / "api.sock", method, target, body, "application/json")

    def write(self, body: Any, who: str = "host") -> Answer:
        """Patch and commit; return the answer that decides."""
        patched = self.ask("PATCH", "/settings?tx=t", body, who)
        if patched.status != 204:
            return patched
        return self.ask("POST", "/tx/commit_and_apply?tx=t", who=who)

    def settings(self, who: str = "host") -> Any:
        """Return the settings."""
        return self.ask("GET", "/settings", who=who).json

    def status(self) -> Any:
        """Return the daemon's status."""
        return self.ask("GET", "/sheltie/v1/status").json

    def problems(self) -> str:
        """Return what status says is wrong."""
        return "\n".join(self.status()["problems"])

    def audit(self) -> list[str]:
        """Check the audit offline and return the codes of its events."""
        argv = [sys.executable, "-I", "-m", "host", "audit"]
        where = ["--state", str(self.state)]
        subprocess.run([*argv, "verify", *where], check=True, capture_output=True, timeout=30)
        done = subprocess.run(
            [*argv, "list", "--json", *where], check=True, capture_output=True, timeout=30
        )
        return [json.loads(line)["event"]["code"] for line in done.stdout.splitlines()]


@pytest.fixture
def disk() -> Iterator[Disk]:
    """Give a disk that is well and empty."""
    disk = Disk(Path(tempfile.mkdtemp(prefix="sick-", dir="/tmp")))
    disk.mounted.mkdir()
    disk.mount("size=8m")
    yield disk
    for daemon in disk.daemons:
        daemon.kill()
        daemon.communicate(timeout=20)
    while os.path.ismount(disk.mounted):
        subprocess.run(["umount", "-R", str(disk.mounted)], check=True, timeout=20)
    shutil.rmtree(disk.home)


def reached(what: str, condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until a daemon, another process, is there; it looks at its disk every five seconds."""
    deadline = time.monotonic() + seconds
    while not _patiently(condition):
        assert time.monotonic() < deadline, f"not in {seconds} s: {what}"
        time.sleep(0.05)


def _patiently(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except OSError:  # its sockets are made anew
        return False


def refused(answer: Answer, why: str) -> None:
    """A write that cannot be kept: 500, one line, the reason in it."""
    assert answer.status == 500
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert why in answer.text
    assert "\n" not in answer.text


def filled(disk: Disk) -> None:
    """Have settings on the disk, keys handed over, and no daemon."""
    disk.start()
    assert disk.write(SETTINGS).status == 200
    handed = {"host-containers": {"admin": {"enabled": True, "user-data": keys(1)}}}
    assert disk.write(handed, "control").status == 200
    disk.end()


def shown_keys(disk: Disk) -> list[str]:
    """Return the keys that would let in, as control sees them."""
    text = disk.settings("control")["host-containers"]["admin"]["user-data"]
    found: list[str] = decoded(text)["ssh"]["authorized-keys"]
    return found


def test_full(disk: Disk) -> None:
    """Settings are shown, writes are refused until there is room, and then nothing is missing."""
    filled(disk)
    disk.fill()
    daemon = disk.start()

    assert disk.settings()["motd"] == "before"
    assert shown_keys(disk) == [key_line(9), key_line(1)]
    assert f"{disk.state} cannot be written: No space left on device" in disk.problems()
    assert disk.status()["door"]["open"] is True
    refused(disk.write({"motd": "lost"}), "No space left on device")
    assert disk.settings()["motd"] == "before"
    disk.make_room()
    reached("it says no more", lambda: "cannot be" not in disk.problems())
    assert disk.write({"motd": "after"}).json == ["settings.motd"]
    reached("the audit is kept again", lambda: "audit" not in disk.problems())
    assert daemon.poll() is None
    disk.end()
    assert "audit.resumed" in disk.audit()


def test_full_from_the_first_start_on(disk: Disk) -> None:
    """Nothing is there and nothing can be made: there are no settings, and it is said."""
    disk.fill()
    daemon = disk.start()

    assert disk.settings() == {}
    assert "No space left on device" in disk.problems()
    refused(disk.write({"motd": "lost"}), "No space left on device")
    disk.make_room()
    reached("it is well", lambda: disk.write({"motd": "after"}).status == 200)
    assert disk.settings() == {"motd": "after"}
    assert daemon.poll() is None


def test_full_while_it_runs(disk: Disk) -> None:
    """A commit that finds no room changes nothing; the next one that does is kept."""
    disk.start()
    assert disk.write(SETTINGS).status == 200
    disk.fill()
    refused(disk.write({"motd": "lost"}), "No space left on device")
    assert disk.settings()["motd"] == "before"
    assert "settings cannot be changed: " in disk.problems()
    disk.make_room()

    assert disk.write({"motd": "after"}).status == 200
    disk.end()
    disk.start()
    assert disk.settings()["motd"] == "after"


def test_read_only(disk: Disk) -> None:
    """Settings and handed-over keys are shown; a write is refused until it may be written again."""
    filled(disk)
    disk.mount("remount,ro")
    daemon = disk.start()

    assert disk.settings()["motd"] == "before"
    assert shown_keys(disk) == [key_line(9), key_line(1)]
    assert "Read-only file system" in disk.problems()
    refused(disk.write({"motd": "lost"}), "Read-only file system")
    refused(disk.write({"host-containers": {"admin": {"enabled": False}}}, "control"), "Read-only")
    disk.mount("remount,rw")
    reached("it says no more", lambda: "cannot be" not in disk.problems())
    assert disk.write({"motd": "after"}).status == 200
    assert daemon.poll() is None


def test_read_only_and_half_there(disk: Disk) -> None:
    """Where even the store's own directories are lacking, what can be read is shown."""
    filled(disk)
    shutil.rmtree(disk.state / "settings" / "pending")
    disk.mount("remount,ro")
    disk.start()

    assert disk.settings()["motd"] == "before"
    assert shown_keys(disk) == [key_line(9), key_line(1)]
    assert "settings cannot be changed, generation 2 is shown" in disk.problems()
    refused(disk.write({"motd": "lost"}), "Read-only file system")
    disk.mount("remount,rw")
    reached("it is well", lambda: disk.write({"motd": "after"}).status == 200)
    assert shown_keys(disk) == [key_line(9), key_line(1)]


def test_read_only_and_empty(disk: Disk) -> None:
    """There are no settings; containers' sockets and the host's own answer all the same."""
    disk.mount("remount,ro")
    daemon = disk.start()

    assert disk.settings() == {}
    assert disk.ask("GET", "/os").status == 200
    assert "settings cannot be changed, none is known: cannot make directory" in disk.problems()
    refused(disk.write(SETTINGS), "Read-only file system")
    disk.mount("remount,rw")
    reached("it is well", lambda: disk.write(SETTINGS).status == 200)
    assert disk.settings("control")["motd"] == "before"
    assert (daemon.poll(), disk.status()["pid"]) == (None, daemon.pid)
    disk.end()
    assert "settings.changed" in disk.audit()


def test_absent(disk: Disk) -> None:
    """The partition comes late: until then there are no settings, and then they are its own."""
    filled(disk)
    elsewhere = disk.home / "partition"
    disk.state.rename(disk.mounted / "kept")
    disk.state.symlink_to(elsewhere / "kept")
    daemon = disk.start()
    assert disk.settings() == {}
    assert "No such file or directory" in disk.problems()
    refused(disk.write({"motd": "lost"}), "No such file or directory")
    elsewhere.mkdir()
    subprocess.run(["mount", "--bind", str(disk.mounted), str(elsewhere)], check=True, timeout=20)
    try:
        reached("its settings are there", lambda: disk.settings().get("motd") == "before")

        assert shown_keys(disk) == [key_line(9), key_line(1)]
        assert disk.problems() == "started with --runtime none: containers are not run"
        assert disk.write({"motd": "after"}).status == 200
        assert daemon.poll() is None
        disk.end()
        assert disk.audit()[-1] == "daemon.ended"
    finally:
        disk.daemons[-1].kill()
        disk.daemons[-1].communicate(timeout=20)
        subprocess.run(["umount", str(elsewhere)], check=True, timeout=20)


def test_another_daemon_is_no_illness(disk: Disk) -> None:
    """What is wrong with the request, and not with the medium, still ends the start."""
    disk.start()
    argv = [sys.executable, "-I", "-m", "host", "serve", "--runtime", "none"]
    argv += ["--state", str(disk.state), "--run", str(disk.home / "other")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)

    assert (done.returncode, done.stderr.count("\n")) == (5, 1)
    assert "another daemon uses" in done.stderr


@pytest.mark.parametrize("illness", ["full", "read-only"])
def test_containers_keep_running(disk: Disk, illness: str) -> None:
    """What runs is taken over and can be entered, and status says what is wrong."""
    layout = disk.home / "layout"
    tiny.write(layout, ("sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"))
    disk.mount("remount,size=64m")
    daemon = disk.start("auto")
    wish = {"control": {"enabled": True, "source": f"oci:{layout}:latest"}}
    assert disk.write({"host-containers": wish}).status == 200

    def state() -> Any:
        (one,) = disk.status()["containers"]
        return one

    reached("it runs", lambda: state()["state"] == "running")
    before = state()
    daemon.kill()
    daemon.communicate(timeout=20)
    if illness == "full":
        disk.fill()
    else:
        disk.cover()
    daemon = disk.start("auto")
    try:
        assert (state()["pid"], state()["state"]) == (before["pid"], "running")
        assert "cannot be written" in disk.problems()
        argv = [sys.executable, "-I", "-m", "contract.apiclient", "-s"]
        argv += [str(disk.run / "api/host/api.sock"), "exec", "control", "echo", "in"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
        assert (done.returncode, done.stdout) == (0, "in\n"), done.stderr
    finally:
        if illness == "full":
            disk.make_room()
        else:
            subprocess.run(["umount", "-l", str(disk.mounted)], check=True, timeout=20)
        argv = [sys.executable, "-I", "-m", "host", "stop", "--state", str(disk.state)]
        subprocess.run([*argv, "--run", str(disk.run)], check=True, timeout=60)
