"""Containers on a host that is ill: slow, full, read-only, out of processes, out of memory."""

# ruff: noqa: ASYNC110, ASYNC240  only this test waits for these files and processes

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.errors import FailedError
from contract.status import ContainerState, ContainerStatus
from host.desired import Desired
from host.runtime import conmon, kernel, programs
from host.runtime.files import Files
from host.supervisor import supervisor as supervising
from host.supervisor.supervisor import Supervisor
from tests.host.image import tiny
from tests.host.runtime.bench import everything, output_of, settled

pytest_plugins = ("tests.host.inside",)
INSIDE = True
pytestmark = [
    pytest.mark.privileged,
    pytest.mark.timeout(120),
]

MS_RDONLY, MS_REMOUNT, MS_BIND = 1, 32, 4096
SIZE = 24 << 20
KEPT = "/.bottlerocket/host-containers/current"


class Host:
    """A supervisor whose state lies on a small file system of its own."""

    def __init__(self, state: Path, run: Path) -> None:
        self.state, self.run = state, run
        self.supervisor = Supervisor(state, run, "crun", grace=0.05)

    def desired(self, name: str, **fields: Any) -> Desired:
        """Return a wish for the tiny image."""
        source = f"oci:{self.state}/layout:latest"
        return replace(Desired(name, enabled=True, source=source), **fields)

    async def want(self, *desired: Desired) -> None:
        """Want exactly these, and let it be done."""
        await self.supervisor.apply({one.name: one for one in desired})
        await self.supervisor.settled()

    def status(self, name: str) -> ContainerStatus:
        """Return where a container stands."""
        return {one.name: one for one in self.supervisor.status()}[name]

    async def eventually(self, name: str, state: ContainerState) -> ContainerStatus:
        """Wait until a container is in a state."""
        async with asyncio.timeout(40):
            while self.status(name).state is not state:
                await asyncio.sleep(0.01)
        return self.status(name)

    async def sh(self, name: str, script: str) -> str:
        """Run a script in a container and return what it wrote."""
        words = [b"sh", b"-c", script.encode()]
        process = await self.supervisor.exec(name, words, size=None)
        return (await output_of(process))[0].decode()

    async def again(self) -> None:
        """Let the daemon end and begin anew; containers stay."""
        await self.supervisor.close()
        self.supervisor = Supervisor(self.state, self.run, "crun", grace=0.05)
        await self.supervisor.start()

    @contextmanager
    def full(self) -> Iterator[None]:
        """Have no byte left in STATE."""
        ballast = self.state / "ballast"
        with ballast.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                try:
                    while file.write(bytes(size)):
                        pass
                except OSError:
                    continue
        yield
        ballast.unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Have a STATE that cannot be written to; only the kernel could take open files too."""
        kernel.mount(str(self.state), str(self.state), "", MS_BIND)
        kernel.mount("none", str(self.state), "", MS_BIND | MS_REMOUNT | MS_RDONLY)
        yield
        kernel.umount(str(self.state), kernel.MNT_DETACH)

    @contextmanager
    def dead_mount(self) -> Iterator[Path]:
        """Have a mount whose server never says a word, like that of a network that is gone."""
        place, device = self.run / "dead", os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        place.mkdir()
        options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
        kernel.mount("dead", str(place), "fuse", 0, options)
        try:
            yield place
        finally:
            os.close(device)  # whoever waits for an answer gets an error (fuse(4))
            kernel.umount(str(place), kernel.MNT_DETACH)


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    """A host with a supervisor; of its containers nothing is left."""
    before = everything()
    run = Path(tempfile.mkdtemp(prefix="t", dir="/run"))
    kernel.mount("tmpfs", str(tmp_path), "tmpfs", 0, f"mode=0700,size={SIZE}")
    host = Host(tmp_path, run)
    tiny.write(host.state / "layout", ("sh", "-c", "echo up; exec sleep 1000"))
    await host.supervisor.start()
    try:
        yield host
        await host.supervisor.stop_all()
    finally:
        await host.supervisor.close()
        # With what was mounted in it before a second mount hid it: see read_only.
        kernel.umount(str(tmp_path), kernel.MNT_DETACH)
        shutil.rmtree(run)
    assert settled(before) == before


ILL = pytest.mark.parametrize("ill", [Host.full, Host.read_only], ids=["full", "read-only"])


@ILL
async def test_a_start_without_room(host: Host, ill: Callable[[Host], Any]) -> None:
    """From the cached image, with the new user-data and all that it keeps; and status says why."""
    admin = host.desired("admin", superpowered=True, user_data=b"old")
    await host.want(admin)
    await host.sh("admin", f"echo key > {KEPT}/hostkey")
    await host.want()
    with ill(host):
        await host.want(replace(admin, user_data=b"new"))
        status = host.status("admin")
        assert status.state is ContainerState.RUNNING, status
        assert "what it keeps now ends with it" in status.reason
        assert await host.sh("admin", f"cat {KEPT}/user-data {KEPT}/hostkey") == "newkey\n"
        assert await host.sh("admin", f"echo x > {KEPT}/more && cat {KEPT}/more") == "x\n"
        await host.again()
        await host.want(replace(admin, user_data=b"new"))
        assert (host.status("admin").pid, host.status("admin").reason) == (
            status.pid,
            status.reason,
        )
        assert await host.sh("admin", "echo in") == "in\n"
        await host.want(replace(admin, user_data=b"newer"))
        assert await host.sh("admin", f"cat {KEPT}/user-data") == "newer"
    kept = Files(host.state, host.run, "admin").kept
    assert (kept / "user-data").read_bytes() == b"old"
    await host.want(replace(admin, user_data=b"newer", enabled=False))
    await host.want(replace(admin, user_data=b"newer"))

    assert host.status("admin").reason == ""
    assert (kept / "user-data").read_bytes() == b"newer"
    assert (await host.sh("admin", f"ls {KEPT}")).split() == ["hostkey", "user-data"]
    assert not list((host.run / "spare").iterdir())


@ILL
async def test_a_first_start_without_room(host: Host, ill: Callable[[Host], Any]) -> None:
    """One that never ran here, whose image is there, runs as well."""
    await host.want(host.desired("other"))
    with ill(host):
        await host.want(host.desired("other"), host.desired("admin", user_data=b"data"))
        assert host.status("admin").state is ContainerState.RUNNING, host.status("admin")
        assert await host.sh("admin", f"cat {KEPT}/user-data") == "data"
        await host.want()
    assert not Files(host.state, host.run, "admin").user_data.exists()


@ILL
async def test_what_runs_goes_on_without_room(host: Host, ill: Callable[[Host], Any]) -> None:
    """It may write as much as it likes, only its log loses lines; and if it ends it comes again."""
    talker = ("sh", "-c", "echo up; while sleep 0.01; do echo 0123456789; done")
    await host.want(host.desired("admin", command=talker))
    pid = host.status("admin").pid
    with ill(host):
        await host.want(host.desired("admin", command=talker, user_data=b"new"))
        await asyncio.sleep(0.3)
        status = host.status("admin")
        assert (status.state, status.pid) == (ContainerState.RUNNING, pid)
        assert "user-data" in status.reason
        assert await host.sh("admin", "echo in") == "in\n"
        os.kill(pid, signal.SIGKILL)
        await host.eventually("admin", ContainerState.WAITING)
        status = await host.eventually("admin", ContainerState.RUNNING)
        assert "what it keeps now ends with it" in status.reason
        assert await host.sh("admin", f"cat {KEPT}/user-data") == "new"


def slow(directory: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a crun in front of the real one."""
    directory.mkdir(exist_ok=True)
    (directory / "crun").write_text(f'#!/bin/sh\n{script}\nexec /usr/bin/crun "$@"\n')
    (directory / "crun").chmod(0o755)
    monkeypatch.setattr(programs, "PLACES", (str(directory), *programs.PLACES))


async def test_a_slow_runtime_delays_nobody_else(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon is up at once and says what it waits for; what runs is taken over later."""
    await host.want(host.desired("admin", superpowered=True))
    pid = host.status("admin").pid
    slow(host.run / "bin", monkeypatch, "sleep 0.7")
    monkeypatch.setattr(supervising, "READY_SECONDS", 0.3)
    begun = asyncio.get_running_loop().time()
    await host.again()
    assert asyncio.get_running_loop().time() - begun < 1.5
    assert "has not answered" in host.supervisor.problems[0]
    assert host.status("admin").state is ContainerState.WAITING
    assert "has not answered" in host.status("admin").reason
    wants = {"admin": host.desired("admin", superpowered=True), "new": host.desired("new")}
    await host.supervisor.apply(wants)

    assert (await host.eventually("admin", ContainerState.RUNNING)).pid == pid
    await host.eventually("new", ContainerState.RUNNING)
    assert host.supervisor.problems == ()


async def test_a_runtime_that_hangs(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs goes on, what is to start says why it does not, and what is to end ends."""
    await host.want(host.desired("admin"), host.desired("other"))
    pid = host.status("admin").pid
    runtime: Any = host.supervisor._chosen
    slow(host.run / "bin", monkeypatch, "exec sleep 600")
    monkeypatch.setattr(conmon, "CREATE_SECONDS", 0.5)
    runtime.answer_seconds = 0.5
    runtime.command[0] = str(host.run / "bin" / "crun")
    await host.want(host.desired("admin"), host.desired("new"))
    assert host.status("admin").pid == pid
    assert host.status("other").state is ContainerState.DISABLED
    new = host.status("new")
    assert (new.state, new.failures) == (ContainerState.WAITING, 1)
    assert "no answer in time" in new.reason
    runtime.command[0] = "/usr/bin/crun"

    assert (await host.eventually("new", ContainerState.RUNNING)).pid


async def test_no_process_is_left(host: Host) -> None:
    """What runs goes on; a start says why it cannot be, and comes when there is room again."""
    await host.want(host.desired("admin", superpowered=True))
    pid = host.status("admin").pid
    top = Path("/sys/fs/cgroup/pids")
    own = top / "sheltie-daemon"
    own.mkdir()
    (own / "cgroup.procs").write_text(str(os.getpid()))
    try:
        (own / "pids.max").write_text((own / "pids.current").read_text())
        await host.want(host.desired("admin", superpowered=True), host.desired("new"))
        assert (host.status("admin").state, host.status("admin").pid) == (
            ContainerState.RUNNING,
            pid,
        )
        new = host.status("new")
        assert new.state is ContainerState.WAITING
        assert "no more processes" in new.reason or "temporarily unavailable" in new.reason
        with pytest.raises(FailedError, match="temporarily unavailable"):
            await host.supervisor.exec("admin", [b"true"], size=None)
        (own / "pids.max").write_text("max")
        await host.eventually("new", ContainerState.RUNNING)
        assert await host.sh("admin", "echo in") == "in\n"
    finally:
        (top / "cgroup.procs").write_text(str(os.getpid()))
        await host.want()
        own.rmdir()


async def test_no_memory_is_left(host: Host) -> None:
    """Who takes most of it is killed, and that is said; admin runs on."""
    await host.want(host.desired("admin", superpowered=True))
    pid = host.status("admin").pid
    (parent,) = Path("/sys/fs/cgroup/memory").glob("sheltie-*")
    (parent / "memory.limit_in_bytes").write_text(str(64 << 20))
    hog = host.desired("hog", command=("tail", "-c", "400000000", "/dev/zero"))
    await host.want(host.desired("admin", superpowered=True), hog)
    async with asyncio.timeout(20):
        while host.status("hog").last_exit is None:
            await asyncio.sleep(0.01)
    status = host.status("hog")

    assert status.last_exit == 137
    assert "its memory was at an end" in status.reason
    assert status.retry.endswith("Z")
    assert (host.status("admin").state, host.status("admin").pid) == (ContainerState.RUNNING, pid)
    assert await host.sh("admin", "echo in") == "in\n"


async def test_limits_and_usage_are_in_status(host: Host) -> None:
    """What a container may take and takes; nothing of one that does not run."""
    await host.want(host.desired("admin", superpowered=True), host.desired("off", enabled=False))
    status = host.status("admin")

    assert status.limits is not None
    assert status.limits.memory > 0
    assert 0 < status.limits.cpu <= len(os.sched_getaffinity(0))
    assert 0 < status.limits.pids <= 2048
    assert status.memory_bytes is not None
    assert 0 < status.memory_bytes < status.limits.memory
    assert status.cpu_seconds is not None
    assert status.pids is not None
    assert 1 <= status.pids < 20
    off = host.status("off")
    assert (off.limits, off.memory_bytes, off.cpu_seconds, off.pids) == (None, None, None, None)
    await host.again()
    assert host.status("admin").limits == status.limits


async def test_a_dead_mount_holds_nobody_up(host: Host) -> None:
    """With a mount on the host that never answers, admin starts, runs commands, and ends."""
    with host.dead_mount() as place:
        async with asyncio.timeout(20):
            await host.want(host.desired("admin", superpowered=True, user_data=b"x"))
            assert host.status("admin").state is ContainerState.RUNNING
            assert await host.sh("admin", "echo in") == "in\n"
            inside = f"/.bottlerocket/rootfs{place}"
            stuck = await host.sh("admin", f"timeout -s KILL 1 ls {inside}; echo $?")
            assert stuck.splitlines()[-1] != "0"  # it really was dead
            await host.again()
            assert host.status("admin").state is ContainerState.RUNNING
            await host.want()
    assert host.status("admin").state is ContainerState.DISABLED
