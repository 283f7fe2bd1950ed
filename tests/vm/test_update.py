"""Updates of the booted image, a bad one, a good one, going back, power cuts: one run of QEMU.

The tests are one story, in their order. Versions differ in their number alone; what makes the new
one bad is an operator's own health check. It has one try here instead of three.
"""

import json
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dev import hostimage, hostupdate, qemu, vm
from dev.hostimage import HostImage
from dev.qemu import Machine
from dev.updatekey import UpdateKey
from dev.vm import Booted
from tests.host.update.server import Server
from tests.vm.conftest import UP_SECONDS

pytestmark = [
    *(pytest.mark.vm, pytest.mark.image, pytest.mark.privileged, pytest.mark.slow),
    # Two images, cold, and up to four boots without KVM on a machine that is busy elsewhere.
    pytest.mark.timeout(3 * UP_SECONDS),
]

NEW = "0.1.1"
BOOT_SECONDS = 900.0
PREPARE_SECONDS = 1200.0
LINUX = "/boot/EFI/Linux"
GUEST_SEES_US = "10.0.2.2"
CHECK = "/var/lib/sheltie/health.d/10-test"
BAD = f"""#!/bin/sh
. /etc/os-release
[ "$IMAGE_VERSION" != {NEW} ] || {{ echo "{NEW} is bad"; exit 1; }}
"""
CUTS = 10 if os.environ.get("SHELTIE_SOAK") else 2


@dataclass
class Host:
    """The machine, which may be another process after a power cut, and its old version."""

    booted: Booted
    old: str

    def run(self, *argv: str, stdin: bytes = b"", seconds: float = 120) -> str:
        """Run a command on the host."""
        return self.booted.run(*argv, stdin=stdin, seconds=seconds)

    def control(self, *argv: str, seconds: float = 120) -> Any:
        """Run a command of control's that prints JSON."""
        words = ("control", "update", *argv, "--json")
        return json.loads(self.booted.run(*words, container="control", seconds=seconds))

    def report(self) -> Any:
        """Return how updates stand, once the daemon answers."""
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            answer = self.booted.port.run("apiclient", "raw", "-u", "/sheltie/v1/updates")
            if not answer.status:
                return json.loads(answer.out)
            time.sleep(1)
        pytest.fail("the daemon does not answer")

    def wait_until_proven(self) -> Any:
        """Return how updates stand once the running version was found well."""
        deadline = time.monotonic() + BOOT_SECONDS
        while not (report := self.report())["proven"] and time.monotonic() < deadline:
            time.sleep(2)
        return report

    def status(self) -> Any:
        """Return the daemon's status."""
        return json.loads(self.run("hostd", "status", "--json"))

    def esp(self) -> list[str]:
        """Return the UKIs that the loader sees."""
        return sorted(self.run("ls", LINUX).split())

    def boots(self) -> str:
        """Wait for the next boot; return its version."""
        version: str = self.booted.port.hello(BOOT_SECONDS)["version"]
        return version

    def order(self, verb: str, seconds: float = BOOT_SECONDS) -> None:
        """Order a command and wait until it is done."""
        self.run("apiclient", "raw", "-m", "POST", "-u", f"/actions/{verb}")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = self.booted.port.run("apiclient", "raw", "-u", "/updates/status")
            if not answer.status:
                last = json.loads(answer.out)["most_recent_command"]
                assert last["cmd_status"] == "Success", last
                return
            time.sleep(1)
        pytest.fail(f"{verb} is not done")

    def one_try(self) -> None:
        """Let the new version have one try."""
        names = (f"{LINUX}/sheltie_{NEW}+{tries}-0.efi" for tries in (3, 1))
        self.run("mv", *names)
        self.run("sync", "-f", LINUX)

    def cut_power(self) -> str:
        """Kill QEMU, start it again on the same disk, and return the version that boots."""
        self.booted.end()
        self.booted.machine.port.unlink(missing_ok=True)
        self.booted = vm.boot(self.booted.machine, BOOT_SECONDS)
        return self.run("sh", "-c", ". /etc/os-release; echo $IMAGE_VERSION").strip()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a server that offers the new version, signed."""
    place = tmp_path_factory.mktemp("served")
    hostupdate.publish(hostimage.build(lambda _: None, version=NEW), place, UpdateKey.own())
    with Server(place) as server:
        yield server


@pytest.fixture(scope="module")
def host(
    image: HostImage, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    """Give a machine with the old version, which knows where updates come from."""
    place = tmp_path_factory.mktemp("vm") / "machine"
    url = f"http://{GUEST_SEES_US}:{server.port}"
    settings = json.dumps({"updates": {"metadata-base-url": url}}).encode()
    credentials = {"sheltie.settings": settings, **vm.agent()}
    machine = Machine(place, (), qemu.accelerator(image), credentials=credentials)
    qemu.prepare(machine, image)
    host = Host(vm.boot(machine, BOOT_SECONDS), image.about["version"])
    host.booted.wait_for_container("control", BOOT_SECONDS)
    yield host
    host.booted.end()


def test_a_bad_version_gives_way_to_the_old_one(host: Host) -> None:
    """Applied by one command of control's; its health fails; the old one is back by itself."""
    host.run("mkdir", "-p", str(Path(CHECK).parent))
    host.run("tee", CHECK, stdin=BAD.encode())
    host.run("chmod", "0700", CHECK)
    applied = host.control("apply", seconds=PREPARE_SECONDS)
    assert applied == {"running": host.old, "next": NEW, "rebooting": False}
    assert host.esp() == [f"sheltie_{host.old}.efi", f"sheltie_{NEW}+3-0.efi"]
    host.one_try()
    host.run("apiclient", "raw", "-m", "POST", "-u", "/sheltie/v1/touched")
    assert "touched" in host.status()
    host.run("apiclient", "reboot")
    assert [host.boots(), host.boots()] == [NEW, host.old]
    report = host.report()
    status = host.status()
    events = [json.loads(line) for line in host.run("hostd", "events", "--json").splitlines()]
    failed = [one["record"]["event"] for one in events if "update.failed" in json.dumps(one)]

    assert (report["running"]["version"], report["proven"]) == (host.old, True)
    [aside] = report["set_aside"]
    assert (aside["version"], aside["why"]) == (NEW, f"10-test: {NEW} is bad")
    assert f"version {NEW} failed and was given up: {aside['why']}" in status["problems"]
    assert failed == [{"code": "update.failed", "version": NEW, "why": aside["why"]}]
    assert host.esp() == [f"sheltie_{host.old}.efi", f"sheltie_{NEW}+0-1.efi"]
    assert "touched" not in status  # a verified image was booted


def test_the_same_version_is_tried_again_and_found_well(host: Host) -> None:
    """Without the bad check it boots, and is blessed; nothing but its UKI was fetched again."""
    host.run("rm", CHECK)
    host.booted.wait_for_container("control", BOOT_SECONDS)
    host.control("apply", "--again", seconds=PREPARE_SECONDS)
    host.run("apiclient", "reboot")
    assert host.boots() == NEW
    report = host.wait_until_proven()

    assert (report["running"]["version"], report["proven"]) == (NEW, True)
    assert (report["previous"], report.get("set_aside", [])) == (host.old, [])
    assert report["status"]["update_state"] == "Idle"
    assert host.esp() == [f"sheltie_{host.old}.efi", f"sheltie_{NEW}.efi"]


def test_rollback_on_request(host: Host) -> None:
    """One command of control's, and the old version runs; that it was on request is known."""
    host.booted.wait_for_container("control", BOOT_SECONDS)
    done = host.control("rollback", "--reboot")
    assert done == {"running": NEW, "next": host.old, "rebooting": True}
    assert host.boots() == host.old
    [aside] = host.report()["set_aside"]

    assert (aside["version"], aside["requested"]) == (NEW, True)
    assert host.status().get("problems", []) == []


def test_a_power_cut_right_after_prepare_and_activate(host: Host, server: Server) -> None:
    """What had succeeded is so after the cut, whole; or it is clear, and a retry works."""
    host.order("refresh-updates")
    host.order("prepare-update", PREPARE_SECONDS)
    assert host.cut_power() == host.old
    assert host.report()["prepared"] == NEW
    host.order("activate-update")
    assert host.cut_power() == NEW


@pytest.mark.soak
def test_power_cuts_at_random_moments(host: Host) -> None:
    """In prepare and activate: the old one boots, or a whole new one; a retry works."""
    chance = random.Random(6)  # noqa: S311  moments, not secrets
    for _ in range(CUTS):
        if host.report()["running"]["version"] == NEW:
            host.booted.wait_for_container("control", BOOT_SECONDS)
            host.wait_until_proven()
            host.control("rollback", "--reboot")
            assert host.boots() == host.old
        host.order("refresh-updates")
        host.run("apiclient", "raw", "-m", "POST", "-u", "/actions/prepare-update")
        deadline = time.monotonic() + chance.random() * 90
        while time.monotonic() < deadline:
            answer = host.booted.port.run("apiclient", "raw", "-u", "/updates/status")
            if not answer.status:  # prepare was quicker
                host.run("apiclient", "raw", "-m", "POST", "-u", "/actions/activate-update")
                time.sleep(min(3.0, max(0.0, deadline - time.monotonic())))
                break
            time.sleep(0.5)
        assert host.cut_power() in {host.old, NEW}
    if host.report()["running"]["version"] != NEW:
        host.booted.wait_for_container("control", BOOT_SECONDS)
        host.control("apply", "--again", "--reboot", seconds=PREPARE_SECONDS)
        assert host.boots() == NEW
