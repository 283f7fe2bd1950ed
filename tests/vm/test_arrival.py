"""A host comes up for the first time: settings on a volume, a console that leads into control."""

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev import qemu
from dev.vm import Booted
from tests.vm import life
from tests.vm.conftest import MOTD, UP_SECONDS

pytestmark = [
    *(pytest.mark.vm, pytest.mark.image, pytest.mark.privileged, pytest.mark.slow),
    pytest.mark.timeout(UP_SECONDS),
]

SECONDS = 300.0
RECORD = "/var/lib/sheltie/first-settings.json"


class Console:
    """The serial console: words to type, and words to wait for."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        try:  # a socket's path is short
            self._socket.connect(f"/proc/self/fd/{directory}/{path.name}")
        finally:
            os.close(directory)
        self._seen = ""

    def keys(self, text: str) -> None:
        """Type."""
        self._socket.sendall(text.encode())

    def expect(self, pattern: str) -> str:
        """Return the first group, once the pattern is on the screen."""
        deadline = time.monotonic() + SECONDS
        while (found := re.search(pattern, self._seen)) is None:
            self._socket.settimeout(max(0.1, deadline - time.monotonic()))
            try:
                self._seen += self._socket.recv(4096).decode(errors="replace")
            except TimeoutError:
                raise AssertionError(f"no {pattern!r} in {self._seen!r}") from None
        self._seen = self._seen[found.end() :]
        return found[1]

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


@pytest.fixture
def console(own: Booted) -> Iterator[Console]:
    """Give the console, with control running behind it."""
    own.wait_for_container("control")
    console = Console(own.machine.console)
    yield console
    console.close()


def test_first_settings_come_on_a_volume(own: Booted) -> None:
    """A file system labelled SHELTIE brings them, and it is said from where."""
    own.wait_for_container("control")
    life.wait_for("they are applied", lambda: not own.port.run("cat", RECORD).status)
    known = json.loads(own.run("cat", RECORD))
    settings = json.loads(own.run("apiclient", "get", "settings.motd"))

    assert known["brought"]["from"] == "volume SHELTIE"
    assert settings == {"settings": {"motd": MOTD}}


def test_the_console_leads_into_control(own: Booted, console: Console) -> None:
    """Enter is a shell in control, as its unprivileged user; its end is the greeting again."""
    qemu.wait_for_text(own.machine, own.process, qemu.GREETING, SECONDS)
    console.keys("\r")
    console.expect(r"(\$) ")
    console.keys("id -un; readlink /proc/self/ns/mnt | tr -d a-z\r")
    user = console.expect(r"([a-z-]+)\r\n:\[")
    namespace = console.expect(r"(\d+)\]")
    console.keys("exit\r")
    console.expect(f"({qemu.GREETING})")

    assert user == "ssm-user"
    assert namespace not in own.run("readlink", "/proc/1/ns/mnt")


def test_the_console_asks_for_no_login(own: Booted, console: Console) -> None:
    """Nowhere on it is a login prompt."""
    said = own.machine.serial.read_text(errors="replace")

    assert qemu.GREETING in said
    assert not re.search(r"\b(login|password):", said, re.IGNORECASE)
