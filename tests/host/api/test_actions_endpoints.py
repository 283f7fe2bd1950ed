"""POST /actions/reboot, on a command that only notes that it ran."""

import asyncio
import sys
from pathlib import Path

import pytest

from contract.errors import FailedError, UsageError
from host import reboot
from tests.host.api.conftest import Site


async def test_reboot(site: Site, tmp_path: Path) -> None:
    """The command runs once, with its words as they are: 204."""
    mark = tmp_path / "a b"
    site.house.reboot_command = reboot.parse(f"touch '{mark}'")
    answer = await site.ask("POST", "/actions/reboot")

    assert (answer.status, answer.body) == (204, b"")
    assert mark.exists()


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("sh -c 'echo no >&2; exit 3'", "Failed to reboot, exit code: 3, stderr: no"),
        ("false", "Failed to reboot, exit code: 1, stderr: "),
        ("sh -c 'kill -9 $$'", "Failed to reboot, exit code: -9, stderr: "),
        ("/nonexistent", "Failed to reboot: cannot execute /nonexistent: No such file"),
    ],
)
async def test_reboot_that_fails(site: Site, command: str, text: str) -> None:
    """What fails is 500 with exit code and what the command said, on one line."""
    site.house.reboot_command = reboot.parse(command)
    answer = await site.ask("POST", "/actions/reboot")

    assert answer.status == 500
    assert answer.text.startswith(text.strip())
    assert "\n" not in answer.text


async def test_reboot_command_that_hangs() -> None:
    """A command that does not end is ended, and that is said."""
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    async with asyncio.timeout(20):
        with pytest.raises(FailedError, match=r"did not end in 0\.2 s"):
            await reboot.reboot(command, seconds=0.2)


@pytest.mark.ours
@pytest.mark.parametrize("who", ["admin", "other"])
async def test_callers(site: Site, who: str, tmp_path: Path) -> None:
    """No container but control reboots the host."""
    mark = tmp_path / "mark"
    site.house.reboot_command = ["touch", str(mark)]
    answer = await site.ask("POST", "/actions/reboot", who=who)

    assert (answer.status, answer.text) == (403, f"container '{who}' may not reboot the host")
    assert not mark.exists()
    assert (await site.ask("POST", "/actions/reboot", who="control")).status == 204
    assert mark.exists()


def test_command_line() -> None:
    """The default is upstream's; what cannot be a command is refused at the start."""
    assert reboot.parse(reboot.COMMAND) == (
        "/usr/bin/systemctl",
        "reboot",
        "--check-inhibitors=yes",
    )
    for bad in ("", "  ", "'open"):
        with pytest.raises(UsageError):
            reboot.parse(bad)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/actions/reboot"),
        ("POST", "/actions/lockdown"),
        ("POST", "/actions/network/configure"),
        ("POST", "/actions/ephemeral-storage/init"),
        ("POST", "/actions/ephemeral-storage/bind"),
        ("GET", "/actions/ephemeral-storage/list-disks"),
        ("GET", "/actions/ephemeral-storage/list-dirs"),
        ("GET", "/report/cis"),
        ("GET", "/report/fips"),
        ("POST", "/updates/status"),
        ("GET", "/actions/refresh-updates"),
        ("POST", "/actions/refresh-update"),
    ],
)
async def test_what_is_not_there(site: Site, method: str, target: str) -> None:
    """What makes no sense off Bottlerocket is 404 with an empty body, as an unknown path is."""
    answer = await site.ask(method, target)

    assert (answer.status, answer.body) == (404, b"")
