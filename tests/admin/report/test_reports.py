"""The reports, asked of a stand-in host from the container beside it."""

import errno
import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from dev import snapshot
from tests.admin.look.conftest import Ground as Ground_
from tests.admin.look.conftest import ground  # noqa: F401  a fixture
from tests.admin.sheltie.conftest import PYTHON

pytestmark = [pytest.mark.privileged]


def report(one: Ground_, *words: str) -> dict[str, Any]:
    """Return a report's JSON."""
    done = one.box.run(one.box.sheltie(*words, "--json"))
    assert (done.returncode, done.stderr) == (0, b""), done
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture
def host(ground: Ground_) -> Iterator[Ground_]:  # noqa: F811  the fixture
    """The host, which is the same afterwards."""
    argv = ["nsenter", "-t", str(ground.box.host), "-a", "--", PYTHON, "-I", "-m", "dev.snapshot"]
    before = json.loads(ground.box.run(argv).stdout)
    yield ground
    assert snapshot.differences(before, json.loads(ground.box.run(argv).stdout)) == []
    assert ground.where()["happened"] == []


def test_netstat_names_the_owners(host: Ground_) -> None:
    """Each socket of the host has its address, state and the process that holds it."""
    rows = report(host, "netstat")["rows"]
    owner = f"{host.where()['pid']}/python3"
    found = {(one["protocol"], one["local"], one["state"]): one["owner"] for one in rows}

    assert found["tcp", "127.0.0.1:10250", "listen"] == owner
    assert found["udp", "169.254.169.254:80", "closed"] == owner
    assert found["unix", "/run/containerd/containerd.sock", "listen stream"] == owner
    text = host.box.run(host.box.sheltie("netstat")).stdout.decode()
    assert text.startswith("PROTOCOL")
    assert owner in text


def test_one_process(host: Ground_) -> None:
    """Open files, the names in the environment, the values only with their own switch, stacks."""
    pid = str(host.where()["pid"])
    files = {one["file"] for one in report(host, "files", pid)["rows"]}
    assert "/dev/pts/ptmx" in files
    assert any(one.startswith("/usr/bin/python3") for one in files)
    names = report(host, "environ", pid)["rows"]
    assert {"name": "PATH"} in names
    assert all(set(one) == {"name"} for one in names)
    shown = json.loads(
        host.box.run(host.box.sheltie("--look-secrets", "environ", pid, "--json")).stdout
    )
    assert {"name": "PATH", "value": os.environ["PATH"]} in shown["rows"]
    stacks = report(host, "stacks", pid)["rows"]
    assert any("accept" in one["stack"] for one in stacks)


def test_disks_and_firewall(host: Ground_) -> None:
    """File systems with their sizes; rules of the host's own network."""
    rows = {one["mount"]: one for one in report(host, "disk")["rows"]}
    assert rows["/"]["kind"] == "overlay"
    assert rows["/run"]["size"] >= rows["/run"]["used"]
    enter = ["nsenter", "-t", str(host.box.host), "-n", "--", "nft"]
    subprocess.run([*enter, "add", "table", "inet", "shown"], check=True)
    try:
        assert "table inet shown {" in report(host, "firewall")["lines"]
    finally:
        subprocess.run([*enter, "delete", "table", "inet", "shown"], check=True)


# To a port where nobody listens: the kernel answers by ICMP.
SENDER = """
import socket, time
end = time.monotonic() + 20
while time.monotonic() < end:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect(("127.0.0.1", 9))
        one.send(b"x")
"""


def test_a_capture_ends_by_itself(host: Ground_) -> None:
    """It ends at its count or its time, and a filter that is none is told in one line."""
    told = report(host, "capture", "--seconds", "1", "udp port 9")
    assert told["lines"] == []
    done = host.box.run(host.box.sheltie("capture", "--seconds", "1", "port and"))
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    argv = host.box.sheltie("capture", "--count", "2", "--seconds", "20", "icmp", "--json")
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as capture:
        enter = ["nsenter", "-t", str(host.box.host), "-n", "--", PYTHON, "-I", "-c", SENDER]
        with subprocess.Popen(enter) as pinging:
            assert capture.stdout is not None
            seen = json.loads(capture.stdout.read())["lines"]
            pinging.kill()
    assert len(seen) == 2
    assert all("127.0.0.1" in line for line in seen)


def test_running_containers_are_found_without_an_engine(host: Ground_) -> None:
    """An engine's name for a cgroup tells whose container a process is in."""
    name = "c0ffee" * 10 + "abcd"
    group = f"/sys/fs/cgroup/pids/libpod-{name}.scope"
    text = f"mkdir {group}; echo 0 >{group}/cgroup.procs; echo up; cat"
    enter = ["nsenter", "-t", str(host.box.host), "-a", "--", "sh", "-c", text]
    with subprocess.Popen(enter, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as contained:
        assert contained.stdout is not None
        assert contained.stdout.readline() == b"up\n"
        done = host.box.run(host.box.sheltie("containers", "--json"))
        contained.communicate()
    assert host.box.on_host("rmdir", group) == ""
    rows = json.loads(done.stdout)["rows"]
    assert [name[:13]] == [one["id"] for one in rows]


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["units"], 6, "NO_SYSTEMD"),
        (["logs", "kubelet"], 6, "NO_SYSTEMD"),
        (["pods"], 6, "NO_ENGINE"),
        (["files", "4000000"], 4, "NO_PROCESS"),
        (["files", "0"], 2, "REPORT_REQUEST"),
        (["files", "x"], 2, "SHELTIE_USAGE"),
        (["logs", "--", "-M root@elsewhere"], 2, "REPORT_REQUEST"),
        (["logs", "kubelet", "--lines", "9999999"], 2, "REPORT_REQUEST"),
        (["capture", "--count", "0"], 2, "REPORT_REQUEST"),
        (["capture", "--interface", "-w/tmp/x"], 2, "SHELTIE_USAGE"),
        (["capture", "--interface=-w/tmp/x"], 2, "REPORT_REQUEST"),
        (["capture", "port 1\n"], 2, "REPORT_REQUEST"),
    ],
)
def test_what_there_is_not_is_one_line(
    ground: Ground_,  # noqa: F811  the fixture
    words: list[str],
    status: int,
    code: str,
) -> None:
    """What the host lacks, and what may not be asked, is one sentence with a code."""
    done = ground.box.run(ground.box.sheltie(*words))
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (status, b"", 1), done
    assert f"[{code}]".encode() in done.stderr


def test_behind_dashes_the_word_is_the_hosts(ground: Ground_) -> None:  # noqa: F811  the fixture
    """`sheltie -- pods` is a command of the host's, which it does not have."""
    assert ground.box.run(ground.box.sheltie("--", "pods")).returncode == 127


HELPER = """
import os, sys
from admin.report import privilege, wire
needs = privilege.NEEDS[getattr(wire, sys.argv[1])]
privilege.reduce_to(needs)
kept = sum(1 << one for one in needs.capabilities)
fields = dict(line.rstrip("\\n").split(":\\t", 1) for line in open("/proc/self/status"))
assert {int(fields[f"Cap{one}"], 16) for one in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {kept}
assert fields["NoNewPrivs"] == "1" and (os.getuid() == 0) == needs.root
try:
    open("/run/written", "w")
except OSError as error:
    print(error.errno)
"""


@pytest.mark.parametrize(
    "kind",
    ["Units", "Logs", "Containers", "Pods", "Netstat", "Files", "Environ", "Stacks", "Firewall",
     "Disk", "Capture"],
)  # fmt: skip
def test_a_report_holds_what_it_needs(ground: Ground_, kind: str) -> None:  # noqa: F811
    """Exactly the capabilities of its row, and no file that it can write."""
    done = ground.box.run(ground.box.argv(PYTHON, "-I", "-c", HELPER, kind))
    assert done.stderr == b""
    assert int(done.stdout) in (errno.EROFS, errno.EACCES)
