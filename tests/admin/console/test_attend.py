"""A console, played by a pty, with the real agetty, login(1), PAM and accounts of its own."""

import contextlib
import fcntl
import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from admin.console.attend import node
from tests.admin.private import private

pytestmark = [pytest.mark.privileged, pytest.mark.timeout(240)]

USER, PASSWORD = "operator-7", "secret"
HASH = (
    "$6$abc$IdWKNKTJEb8LxY7CGg8YBXlvtfZzFw7Mp/r6niK9YB2mdvgY..TKjv1T..8RadRt2qvUHYRLr/TsVArtr91iR1"
)
SECONDS = 60.0


class Line:
    """A console: what is typed and what is seen; hung up and opened anew as often as it likes."""

    def __init__(self) -> None:
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.device = os.ttyname(self._slave)
        self.seen = ""

    @property
    def name(self) -> str:
        """Its name below /dev."""
        return self.device.removeprefix("/dev/")

    def keys(self, text: str) -> None:
        """Type."""
        os.write(self.master, text.encode())

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait for a pattern, and read up to its end."""
        deadline = time.monotonic() + SECONDS
        while (found := re.search(pattern, self.seen)) is None:
            assert time.monotonic() < deadline, f"no {pattern!r} in {self.seen[-2000:]!r}"
            self.seen += self.read(0.2)
        self.seen = self.seen[found.end() :]
        return found

    def read(self, seconds: float) -> str:
        """Return what comes in a moment; nothing while the line is hung up."""
        os.set_blocking(self.master, False)
        with contextlib.suppress(BlockingIOError, OSError):
            if data := os.read(self.master, 65536):
                return data.decode(errors="replace")
        time.sleep(seconds)
        return ""

    def close(self) -> None:
        """Let it go."""
        os.close(self.master)
        os.close(self._slave)


class Keeper:
    """The keeper's consoles in a process of their own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self._told: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._told.put(json.loads(line))

    def want(self, user: str) -> None:
        """Say for whom the console is attended."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"want {user}\n")
        self.process.stdin.flush()

    def event(self) -> dict[str, Any]:
        """Return the next event."""
        return self._told.get(timeout=SECONDS)


@pytest.fixture
def line() -> Iterator[Line]:
    """A console."""
    made = Line()
    yield made
    made.close()


@pytest.fixture
def keeper(tmp_path: Path, line: Line) -> Iterator[Keeper]:
    """Whoever attends it."""
    box = tmp_path / "box"
    box.mkdir()
    player = str(Path(__file__).with_name("player.py"))
    argv = private(box, [sys.executable, "-I", player, line.name, USER, HASH])
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Keeper(process)
        finally:
            process.kill()


def log_in(line: Line, password: str = PASSWORD) -> None:
    """Log in as a person does."""
    line.expect("login: ")
    line.keys(f"{USER}\r")
    line.expect("Password: ")
    line.keys(f"{password}\r")


def ended(pid: int) -> bool:
    """Wait for the end of a process."""
    for _ in range(int(SECONDS * 10)):
        if not Path(f"/proc/{pid}").exists():
            return True
        time.sleep(0.1)
    return False


def test_a_login_from_its_prompt_to_its_end(line: Line, keeper: Keeper) -> None:
    """Told as one over SSH is; nothing of it stays, and the prompt comes again."""
    keeper.want(USER)
    log_in(line, "guess")
    line.expect("incorrect")
    refused = keeper.event()
    log_in(line)
    login, session = keeper.event(), keeper.event()
    line.keys("setsid sh -c 'echo begun=$$; exec sleep 1000' &\r")
    left = int(line.expect(r"begun=(\d+)")[1])
    line.keys("echo `id -un` `tty`; exit\r")
    line.expect(rf"{USER}.*?{line.device}\s")
    over = keeper.event()

    peer = f"console {line.name}"
    assert (refused["what"], refused["user"], refused["peer"]) == ("refused", USER, peer)
    assert (login["what"], login["key"], login["access"]) == ("login", "password", "root")
    assert (session["what"], session["shown"], session["peer"]) == ("session", [USER], peer)
    assert (over["what"], over["session"], over["shown"]) == ("session-end", session["session"], [])
    assert ended(left)
    line.expect("login: ")


def test_who_is_logged_in_stays_when_the_password_goes(line: Line, keeper: Keeper) -> None:
    """Until they leave; then the console is left to others."""
    keeper.want(USER)
    log_in(line)
    keeper.event()
    keeper.event()
    keeper.want("")
    line.keys("echo sti''ll here; exit\r")
    line.expect("still here")

    assert keeper.event()["what"] == "session-end"
    free(line)
    line.seen = ""
    keeper.want(USER)
    line.expect("login: ")


def test_a_console_is_attended_by_one(line: Line, keeper: Keeper) -> None:
    """While somebody else holds it (control's shell, on the host's image) there is no prompt."""
    held = os.open(line.device, os.O_RDONLY | os.O_NOCTTY)
    fcntl.flock(held, fcntl.LOCK_EX)
    keeper.want(USER)
    assert line.read(2) + line.read(1) == ""
    os.close(held)
    line.expect("login: ")
    other = os.open(line.device, os.O_RDONLY | os.O_NOCTTY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)
    keeper.want("")
    free(line)


def free(line: Line) -> None:
    """Wait until nobody attends the console."""
    for _ in range(int(SECONDS * 10)):
        other = os.open(line.device, os.O_RDONLY | os.O_NOCTTY)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.1)
        else:
            return
        finally:
            os.close(other)
    raise AssertionError(line.device)


def test_the_end_of_the_keeper_ends_the_session(line: Line, keeper: Keeper) -> None:
    """As with the sessions over SSH."""
    keeper.want(USER)
    log_in(line)
    keeper.event()
    line.keys("echo shell=$$\r")
    shell = int(line.expect(r"shell=(\d+)")[1])
    keeper.process.kill()

    assert ended(shell)


def test_the_device_is_made_like_the_hosts(tmp_path: Path) -> None:
    """In the container's own /dev, once; what the host lacks is an error."""
    here = tmp_path / "dev"
    here.mkdir()
    made = node("null", Path("/"), here)

    assert made.stat().st_rdev == Path("/dev/null").stat().st_rdev
    assert made.stat().st_mode & 0o777 == 0o600
    assert node("null", Path("/nowhere"), here) == made
    with pytest.raises(FileNotFoundError):
        node("ttyS99", tmp_path, here)
