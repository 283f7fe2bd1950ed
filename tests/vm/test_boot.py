"""The main job on the immutable host: PID 1 is systemd, and nothing is played."""

import json
import re

import pytest

from dev.hostimage import HostImage
from tests.e2e.host import Host
from tests.e2e.terminal import Terminal
from tests.vm.conftest import CLONE

pytestmark = [pytest.mark.vm, pytest.mark.image, pytest.mark.privileged, pytest.mark.timeout(600)]

NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "cgroup")
LISTENS = "0A"  # TCP_LISTEN, include/net/tcp_states.h
SSH_PORT = 22
DHCP_PORTS = {68, 546}


@pytest.fixture
def admin(vm: Host) -> Host:
    """The host with admin enabled for vm.json's own identity."""
    vm.ensure()
    return vm


def listening(host: Host) -> set[int]:
    """Return the TCP ports on which anything of the host listens, on any address."""
    lines = host.text("host", "cat", "/proc/net/tcp", "/proc/net/tcp6").splitlines()
    fields = [line.split() for line in lines if ":" in line]
    return {int(one[1].rpartition(":")[2], 16) for one in fields if one[3] == LISTENS}


def test_sheltie_is_in_the_six_namespaces_of_systemd(admin: Host) -> None:
    """Through the forwarded port: every namespace is PID 1's, and PID 1 is systemd."""
    script = [f"readlink /proc/self/ns/{name} /proc/1/ns/{name}" for name in NAMESPACES]
    done = admin.ssh("sheltie", stdin="\n".join([*script, "cat /proc/1/comm"]).encode())
    *links, name = done.stdout.decode().split()

    assert len(NAMESPACES) == len(set(links)), done.stderr
    assert name == "systemd"


def test_root_hash_and_slot_are_named(admin: Host, image: HostImage) -> None:
    """What runs says which image it is, and what the disk was checked against."""
    about = image.about
    words = admin.ssh("sheltie cat /proc/cmdline").stdout.decode().split()
    release = admin.ssh("sheltie cat /etc/os-release").stdout.decode()
    status = admin.ssh("sheltie veritysetup status root").stdout.decode()

    assert f"roothash={about['roothash']}" in words
    assert f"sheltie.image=sheltie_{about['version']}" in words
    assert f"IMAGE_VERSION={about['version']}\n" in release
    assert re.search(r"status:\s+verified", status)
    assert about["roothash"] in status


def test_nothing_listens_but_admins_port(vm: Host) -> None:
    """With the door shut nothing listens; open, it is admin's port alone."""
    vm.disable()
    assert listening(vm) == set()
    vm.enable(vm.own_key())

    assert listening(vm) == {SSH_PORT}


def test_datagrams_come_in_for_dhcp_alone(vm: Host) -> None:
    """No other UDP socket takes what anybody sends; time and names are asked for, not offered."""
    lines = vm.text("host", "cat", "/proc/net/udp", "/proc/net/udp6").splitlines()
    fields = [line.split() for line in lines if ":" in line]
    open_to_all = [one for one in fields if set(one[2].partition(":")[0]) == {"0"}]
    ports = {int(one[1].rpartition(":")[2], 16) for one in open_to_all}

    assert ports <= DHCP_PORTS


@pytest.mark.parametrize("place", ["/", "/usr", "/etc", "/usr/share/sheltie"])
def test_the_root_cannot_be_written_to(admin: Host, place: str) -> None:
    """Not by root in the host's namespaces, and a remount does not change it."""
    done = admin.ssh(f"sheltie touch {place}/new")
    assert done.returncode == 1
    assert b"Read-only file system" in done.stderr

    assert admin.ssh("sheltie mount -o remount,rw /").returncode != 0
    assert admin.ssh(f"sheltie touch {place}/new").returncode == 1


def test_the_verified_device_cannot_be_written_to(admin: Host) -> None:
    """The mapper refuses; the partition below it is the kernel's to check, not to protect."""
    done = admin.ssh("sheltie dd if=/dev/zero of=/dev/mapper/root bs=4096 count=1 conv=fsync")

    assert done.returncode != 0


def test_every_unit_is_well(vm: Host) -> None:
    """No unit failed, and what the image starts is up."""
    failed = vm.text("host", "systemctl", "list-units", "--failed", "--plain", "--no-legend")
    active = vm.text("host", "systemctl", "is-active", "hostd", "systemd-networkd", "sheltie-data")

    assert failed == ""
    assert active.split() == ["active"] * 3


def test_the_data_partition_is_there_and_large(vm: Host) -> None:
    """The free space behind the slots became /var at the first boot."""
    assert vm.text("host", "cat", "/run/sheltie-data") == "ok"
    device, kind = vm.text("host", "findmnt", "-n", "-o", "SOURCE,FSTYPE", "/var").split()
    size = int(vm.text("host", "findmnt", "-n", "-b", "-o", "SIZE", "/var"))

    assert (device, kind) == ("/dev/vda6", "ext4")
    assert size > 2 << 30


def test_first_settings_came_once_and_it_is_said(vm: Host) -> None:
    """The record names the image's own settings and the credential."""
    known = json.loads(vm.text("host", "cat", "/var/lib/sheltie/first-settings.json"))

    assert known["image"]["from"] == "image"
    assert known["brought"]["from"] == "credential sheltie.settings"
    vm.run("host", "systemctl", "restart", "sheltie-first-settings")
    again = json.loads(vm.text("host", "cat", "/var/lib/sheltie/first-settings.json"))
    assert known == again


def test_containers_run_from_what_the_image_brings(vm: Host) -> None:
    """Both container images are used where they lie: nothing was unpacked."""
    unpacked = vm.text("host", "find", "/var/lib/sheltie/images", "-name", "rootfs")
    mounts = vm.text("host", "cat", "/proc/mounts")

    assert unpacked == ""
    assert "lowerdir=/usr/share/sheltie/images/sha256-" in mounts


def test_the_daemon_finds_crun_and_can_limit(vm: Host) -> None:
    """On a plain host with cgroups of version 2: crun, every limit, and no problem to tell of."""
    status = json.loads(vm.text("host", "hostd", "status", "--json"))
    control = next(one for one in status["containers"] if one["name"] == "control")

    assert status["runtime"].startswith("crun")
    assert status.get("problems", []) == []
    assert control["memory_bytes"] > 0


EXPOSED = re.compile(r"^\| `([a-z@A-Z0-9-]+\.service)` \| ([0-9.]+) \|", re.MULTILINE)


def test_units_are_as_hardened_as_the_docs_say(vm: Host) -> None:
    """What systemd counts on the running host is not above what docs/host-image.md claims."""
    claims = dict(EXPOSED.findall((CLONE / "docs/host-image.md").read_text()))
    told = vm.text("host", "systemd-analyze", "security", "--no-pager", *claims)
    found = dict(re.findall(r"exposure level for (\S+): ([0-9.]+)", told))

    assert len(claims) > 3
    assert claims.keys() == found.keys()
    assert {name for name in claims if float(found[name]) > float(claims[name])} == set()


def test_sheltie_says_how_the_host_is(admin: Host) -> None:
    """Before a shell: verity, root hash and slot, by the kernel's own word."""
    with Terminal(admin.ssh_argv("sheltie", options=["-tt"])) as terminal:
        line = terminal.expect(r"the host: ([^\r\n]*)\r?\n")[1]
        terminal.keys("exit\r")
        terminal.wait()
    control = "/proc/1/root/dev/mapper/control"
    script = f"from contract import verity; print(verity.state('253:0', '{control}'))"

    assert "verity active" in line
    assert "slot sheltie_" in line
    assert admin.text("admin", "python3", "-I", "-c", script) == "verified"
