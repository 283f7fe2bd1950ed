"""The console while admin is enabled: its login, by the same way in as SSH; then control's again.

After tests/vm/test_arrival.py, on the same machine: its console led into control.
"""

import base64
import json

import pytest

from dev import qemu
from dev.vm import Booted
from tests.vm import life
from tests.vm.conftest import UP_SECONDS
from tests.vm.screen import Console

pytestmark = [
    *(pytest.mark.vm, pytest.mark.image, pytest.mark.privileged, pytest.mark.slow),
    pytest.mark.timeout(UP_SECONDS),
]

USER, PASSWORD = "operator-7", "secret"
HASH = (
    "$6$abc$IdWKNKTJEb8LxY7CGg8YBXlvtfZzFw7Mp/r6niK9YB2mdvgY..TKjv1T..8RadRt2qvUHYRLr/TsVArtr91iR1"
)
USER_DATA = {"user": USER, "password-hash": HASH}


def wish(host: Booted, **change: object) -> None:
    """Change admin's settings, as the host's owner."""
    document = json.dumps({"host-containers": {"admin": change}})
    host.run("apiclient", "set", "-j", document)


def admin_status(host: Booted) -> str:
    """Return what admin says of itself, as its log has it."""
    return host.port.run("admin", "status", container="admin").out.decode()


def test_admin_attends_the_console_while_it_is_enabled(own: Booted) -> None:
    """Login by password, sheltie into the host, and the console is control's when admin is gone."""
    own.wait_for_container("control")
    console = Console(own.machine.console)
    try:
        data = base64.b64encode(json.dumps(USER_DATA).encode()).decode()
        wish(own, enabled=True, **{"user-data": data})
        own.wait_for_container("admin")
        console.expect(r"(login:)")
        console.keys(f"{USER}\r")
        console.expect(r"([Pp]assword:)")
        console.keys(f"{PASSWORD}\r")
        console.expect(r"(\$) ")
        life.wait_for("admin tells of it", lambda: "console ttyS0" in admin_status(own))
        console.keys("sudo sheltie readlink /proc/self/ns/mnt | tr -d a-z\r")
        namespace = console.expect(r":\[(\d+)\]")
        wish(own, enabled=False)
        console.expect(f"({qemu.GREETING})")
    finally:
        wish(own, enabled=False)
        console.close()

    assert namespace in own.run("readlink", "/proc/1/ns/mnt")
