"""A host comes up for the first time: settings on a volume, a console that leads into control."""

import json
import re
from collections.abc import Iterator

import pytest

from dev import qemu
from dev.vm import Booted
from tests.vm import life
from tests.vm.conftest import MOTD, UP_SECONDS
from tests.vm.screen import SECONDS, Console

pytestmark = [
    *(pytest.mark.vm, pytest.mark.image, pytest.mark.privileged, pytest.mark.slow),
    pytest.mark.timeout(UP_SECONDS),
]

RECORD = "/var/lib/sheltie/first-settings.json"


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
