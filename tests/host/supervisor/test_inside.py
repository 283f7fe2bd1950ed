"""The contract's tables as a container of either shape finds them, by each runtime."""

# ruff: noqa: ASYNC240  a test may wait for files

import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.status import ContainerState
from host.desired import Desired
from host.runtime import facts, mounts
from host.supervisor.supervisor import Supervisor
from tests.host.image import tiny
from tests.host.runtime.bench import everything, output_of, settled

pytest_plugins = ("tests.host.inside",)
INSIDE = True
pytestmark = [
    pytest.mark.privileged,
    pytest.mark.timeout(120),
]

DEVICES = {"full", "null", "ptmx", "random", "tty", "urandom", "zero"}
LINKS = {"fd", "stdin", "stdout", "stderr"}
DIRECTORIES = {"mqueue", "pts", "shm"}
CERTIFICATES = "/.bottlerocket/certs/ca-bundle.crt"


class Host:
    """A supervisor and its containers."""

    def __init__(self, state: Path, run: Path, runtime: str) -> None:
        self.state, self.run, self.runtime = state, run, runtime
        self.supervisor = Supervisor(state, run, runtime, grace=0.05)

    def desired(self, name: str, **fields: Any) -> Desired:
        """Return a wish for the tiny image."""
        return replace(Desired(name, enabled=True, source=f"oci:{self.state}/layout"), **fields)

    async def want(self, *desired: Desired) -> None:
        """Want exactly these, and let it be done."""
        await self.supervisor.apply({one.name: one for one in desired})
        await self.supervisor.settled()

    async def sh(self, name: str, script: str) -> str:
        """Run a script in a container and return what it wrote."""
        words = [b"sh", b"-c", script.encode()]
        process = await self.supervisor.exec(name, words, size=None)
        return (await output_of(process))[0].decode()


@pytest.fixture(params=["crun", "runc", "podman"])
async def host(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Host]:
    """A host with each runtime, on which `normal` and `power` run; nothing is left of them."""
    before = everything()
    run = Path(tempfile.mkdtemp(prefix="t", dir="/run"))
    tiny.write(tmp_path / "layout", env=("PATH=/bin", "NO_PROXY=image"))
    host = Host(tmp_path, run, request.param)
    await host.supervisor.start()
    environment = (("NO_PROXY", "host"), ("HTTPS_PROXY", "http://proxy:3128"))
    shared = {"environment": environment, "certificates": b"first\n"}
    wants = [host.desired("normal", **shared), host.desired("power", superpowered=True, **shared)]
    await host.want(*wants)
    try:
        yield host
        await host.supervisor.stop_all()
    finally:
        await host.supervisor.close()
        shutil.rmtree(run)
    assert settled(before) == before


def status_of(host: Host, name: str, file: str) -> str:
    """Return a file of /proc about a container's first process, as the host sees it."""
    (pid,) = [one.pid for one in host.supervisor.status() if one.name == name]
    return Path("/proc", str(pid), file).read_text()


async def test_what_is_in_dev(host: Host) -> None:
    """A private one with the usual devices: the host's are below the host's root."""
    for name in ("normal", "power"):
        found = set((await host.sh(name, "ls /dev")).split())
        # crun adds none, runc's console and core link come with a terminal and with the host's.
        assert found - {"console", "core"} == DEVICES | LINKS | DIRECTORIES, name
        # A terminal takes the number that the container's own instance gives it.
        assert await host.sh(name, "echo x > /dev/null && head -c 2 /dev/zero | wc -c") == "2\n"
    listed = set((await host.sh("power", "ls /.bottlerocket/rootfs/dev")).split())
    assert listed == {path.name for path in Path("/dev").iterdir()}


async def test_which_devices_work(host: Host) -> None:
    """A node for another device can be made by both, and be opened by the superpowered one."""
    script = (
        "busybox mknod /kmsg c 1 11; head -c 0 /kmsg && busybox dd if=/kmsg of=/dev/null bs=9000"
    )
    script += " count=1 2>&1"
    assert "not permitted" in await host.sh("normal", script)
    assert "not permitted" not in await host.sh("power", script)


async def test_what_is_masked(host: Host) -> None:
    """Keys and timers are empty, /proc/sys is read-only; not so for the superpowered one."""
    script = "busybox wc -c < /proc/keys; busybox wc -c < /proc/timer_list"
    assert (await host.sh("normal", script)).split() == ["0", "0"]
    assert (await host.sh("power", script)).split()[0] != "0"
    script = "echo standin > /proc/sys/kernel/hostname 2>&1 && echo done"
    assert "Read-only file system" in await host.sh("normal", script)
    # Its uts namespace is its own: the host's name stays.
    assert "done" in await host.sh("power", script)
    assert await host.sh("normal", "ls /sys/firmware && echo seen") != ""


async def test_the_environment(host: Host) -> None:
    """The host's proxy replaces what the image says, for the container and for commands in it."""
    for name in ("normal", "power"):
        said = set((await host.sh(name, "env")).split())
        assert {"NO_PROXY=host", "HTTPS_PROXY=http://proxy:3128", "PATH=/bin"} <= said
        assert "NO_PROXY=image" not in said
        assert "HTTPS_PROXY=http://proxy:3128\0" in status_of(host, name, "environ")


async def test_the_certificates(host: Host) -> None:
    """The host's own and the settings'; new ones come into what runs, which stays the same."""
    own = facts.host_certificates().decode()
    before = {one.name: one.pid for one in host.supervisor.status()}
    for name in ("normal", "power"):
        assert await host.sh(name, f"cat {CERTIFICATES}") == f"{own}first\n"
        assert "Read-only" in await host.sh(name, f"echo x > {CERTIFICATES} 2>&1")
    wants = [one.desired for one in host.supervisor._workers.values() if one.desired is not None]
    await host.want(*(replace(one, certificates=b"second\n") for one in wants))
    for name in ("normal", "power"):
        assert await host.sh(name, f"tail -n 1 {CERTIFICATES}") == "second\n"
    assert {one.name: one.pid for one in host.supervisor.status()} == before


async def test_host_programs_come_only_where_they_run(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A static program is mounted, read-only; a dynamic one and a script would not run in there."""
    place = "/usr/local/sbin/modprobe"
    script = host.state / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    for source, works in (("/bin/busybox", True), (sys.executable, False), (str(script), False)):
        programs = ((str(Path(source).resolve()), place),)
        monkeypatch.setattr(mounts, "_POWERFUL_PROGRAMS", programs)
        monkeypatch.setattr(facts, "OPTIONAL_PROGRAMS", (programs[0][0],))
        await host.want(host.desired("normal"))
        await host.want(host.desired("normal"), host.desired("power", superpowered=True))
        assert (await host.sh("power", f"test -e {place} && echo there") != "") is works
        assert await host.sh("normal", f"test -e {place} && echo there") == ""
        if works:
            assert "multi-call" in await host.sh("power", f"{place} --help 2>&1")
            assert "Read-only" in await host.sh("power", f"echo > {place} 2>&1")


async def test_its_own_limits(host: Host) -> None:
    """1024 open files, and no limit above what we have ourselves."""
    hard = facts.read(filtered=False).open_files
    for name in ("normal", "power"):
        # Of its first process: runc (Go) raises the soft limit of a command as high as it may.
        found = status_of(host, name, "limits")
        assert f"Max open files            {min(1024, hard):<21}{hard:<21}files" in found


VERSION_2_ONLY = """
import asyncio, ctypes, os, sys
from pathlib import Path
from host.desired import Desired
from host.runtime import kernel
from host.supervisor.supervisor import Supervisor

async def main(state, run):
    supervisor = Supervisor(state, run, "runc", grace=0.05)
    await supervisor.start()
    print(list(supervisor.problems))
    await supervisor.apply({"one": Desired("one", enabled=True, source=f"oci:{state}/layout")})
    await supervisor.settled()
    (status,) = supervisor.status()
    print(status.state, status.limits, status.reason)
    await supervisor.stop_all()
    await supervisor.close()

os_unshare = ctypes.CDLL(None, use_errno=True).unshare
assert os_unshare(0x20000) == 0
kernel.mount("none", "/", "", kernel.MS_PRIVATE | 16384)
lines = Path("/proc/self/mountinfo").read_text().splitlines()
points = [line.split()[4] for line in lines if line.split()[4].startswith("/sys/fs/cgroup")]
for point in sorted(points, key=len, reverse=True):
    kernel.umount(point)
kernel.mount("cgroup2", "/sys/fs/cgroup", "cgroup2")
asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
"""


async def test_version_2_alone_without_its_controllers(tmp_path: Path) -> None:
    """Nothing is asked for that the hierarchy lacks; that it is not limited is said."""
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        pytest.fail("this host has version 2 alone: this test is for others")
    before = everything()
    run = Path(tempfile.mkdtemp(prefix="t", dir="/run"))
    tiny.write(tmp_path / "layout")
    done = subprocess.run(  # noqa: ASYNC221  a process of its own, for its mounts
        [sys.executable, "-c", VERSION_2_ONLY, str(tmp_path), str(run)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=Path(__file__).parents[3],
    )
    shutil.rmtree(run)
    assert done.returncode == 0, done.stderr
    problems, status = done.stdout.splitlines()

    assert "not limited in memory and cpu and pids" in problems
    assert status.startswith(f"{ContainerState.RUNNING} Limits(memory=0, cpu=0.0, pids=0)")
    assert settled(before) == before
