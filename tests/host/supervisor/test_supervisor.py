"""Host containers as they are, by crun and by runc, seen from inside and from the host."""

# ruff: noqa: ASYNC110, ASYNC220, ASYNC240  only this test waits for these files and processes

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.errors import MachineError, NotFoundError
from contract.status import ContainerState, ContainerStatus
from host.desired import Desired
from host.runtime.entry import FACTS
from host.runtime.files import Files
from host.supervisor.supervisor import Supervisor
from tests.host.image import tiny
from tests.host.runtime.bench import everything, output_of, settled

pytest_plugins = ("tests.host.inside",)
INSIDE = True
pytestmark = [
    pytest.mark.privileged,
    pytest.mark.timeout(300),
]

ALL = pytest.mark.parametrize("runtime", ["crun", "runc", "podman"])
"""For what podman could do in another way; the rest it shares with the program below it."""
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "uts")


class Host:
    """A place for a supervisor, and what one asks of its containers."""

    def __init__(self, state: Path, run: Path, runtime: str) -> None:
        self.state, self.run, self.runtime = state, run, runtime
        self.supervisor = Supervisor(state, run, runtime, grace=0.05)
        self.layout = state / "layout"
        tiny.write(self.layout, ("sh", "-c", "echo up; exec sleep 1000"))

    def desired(self, name: str, **fields: Any) -> Desired:
        """Return a wish for the tiny image."""
        return replace(Desired(name, enabled=True, source=f"oci:{self.layout}:latest"), **fields)

    async def want(self, *desired: Desired) -> None:
        """Want exactly these, and let it be done."""
        await self.supervisor.apply({one.name: one for one in desired})
        await self.supervisor.settled()

    def status(self, name: str) -> ContainerStatus:
        """Return where a container stands."""
        return {one.name: one for one in self.supervisor.status()}[name]

    async def sh(self, name: str, script: str) -> str:
        """Run a script in a container and return what it wrote."""
        words = [b"sh", b"-c", script.encode()]
        process = await self.supervisor.exec(name, words, size=None)
        return (await output_of(process))[0].decode()

    def files(self, name: str) -> Files:
        """Return a container's places."""
        return Files(self.state, self.run, name)

    async def eventually(self, name: str, state: ContainerState) -> ContainerStatus:
        """Wait until a container is in a state."""
        async with asyncio.timeout(20):
            while self.status(name).state is not state:
                await asyncio.sleep(0.01)
        return self.status(name)


@pytest.fixture(params=["crun", "runc"])
def runtime(request: pytest.FixtureRequest) -> str:
    """Each runtime."""
    return str(request.param)


@pytest.fixture
def run() -> Iterator[Path]:
    """A run directory with a short path."""
    path = Path(tempfile.mkdtemp(prefix="t", dir="/run"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
async def host(tmp_path: Path, run: Path, runtime: str) -> AsyncIterator[Host]:
    """A host with a supervisor; of its containers nothing is left."""
    before = everything()
    host = Host(tmp_path, run, runtime)
    await host.supervisor.start()
    try:
        yield host
        await host.supervisor.stop_all()
    finally:
        await host.supervisor.close()
    assert settled(before) == before


@pytest.fixture
async def control(host: Host) -> Host:
    """A host on which unprivileged `control` runs."""
    await host.want(host.desired("control"))
    return host


@pytest.fixture
async def admin(host: Host) -> Host:
    """A host on which superpowered `admin` runs."""
    await host.want(host.desired("admin", superpowered=True))
    return host


async def until(true: Callable[[], bool]) -> None:
    """Wait until something that the container does by itself has happened."""
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


async def namespaces(host: Host, name: str) -> set[str]:
    """Return which namespaces of a container are not the host's."""
    script = f"for n in {' '.join(NAMESPACES)}; do readlink /proc/self/ns/$n; done"
    inside = (await host.sh(name, script)).split()
    outside = [os.readlink(f"/proc/self/ns/{kind}") for kind in NAMESPACES]  # noqa: PTH115  no path
    pairs = zip(NAMESPACES, inside, outside, strict=True)
    return {kind for kind, theirs, ours in pairs if theirs != ours}


async def proc_status(host: Host, name: str) -> dict[str, str]:
    """Return /proc/1/status of a container's first process as the host sees it."""
    text = Path(f"/proc/{host.status(name).pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


@ALL
async def test_an_unprivileged_container_from_inside(control: Host) -> None:
    """Namespaces, rights and filter as the contract has them."""
    assert await namespaces(control, "control") == {"cgroup", "ipc", "mnt", "pid", "uts"}
    status = await proc_status(control, "control")
    assert status["CapBnd"] == status["CapEff"] == "00000000a80425fb"
    assert status["CapInh"] == status["CapAmb"] == "0" * 16
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert (
        await control.sh("control", "grep -c . /proc/1/cmdline; readlink /proc/1/root") == "1\n/\n"
    )


@ALL
async def test_a_superpowered_container_from_inside(admin: Host) -> None:
    """The host's pid, net and cgroup namespaces, every capability that we have, no filter."""
    assert await namespaces(admin, "admin") == {"ipc", "mnt", "uts"}
    status = await proc_status(admin, "admin")
    own = Path("/proc/self/status").read_text()
    assert f"CapBnd:\t{status['CapEff']}" in own
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("0", "0")


@ALL
async def test_an_unprivileged_container_writes_to_nothing_of_the_host(control: Host) -> None:
    """Every mount of /sys is read-only, and no namespace can be made, also by its root."""
    script = "for d in /sys/fs/cgroup/*/cgroup.procs; do mkdir ${d%/*}/x; echo 1 > $d; done"
    answers = await control.sh("control", f"({script}; echo 1 > /proc/sys/kernel/panic) 2>&1")
    assert answers
    assert all("Read-only file system" in line for line in answers.splitlines()), answers
    mounts = await control.sh("control", "grep -E ' /sys|cgroup' /proc/self/mounts")
    loose = [line.split()[:4] for line in mounts.splitlines() if " rw" in line]
    # crun mounts the version 1 hierarchies on a small tmpfs of the container's own.
    assert all(kind == "tmpfs" for _, _, kind, _ in loose), loose
    refused = await control.sh("control", "mount -t tmpfs none /tmp 2>&1")
    assert "permi" in refused


@ALL
async def test_a_superpowered_container_sees_the_host(admin: Host) -> None:
    """Its root read-only, its cgroups writable, version 2 among them."""
    listed = await admin.sh("admin", "cat /.bottlerocket/rootfs/etc/os-release")
    assert listed == Path("/etc/os-release").read_text()
    assert "Read-only" in await admin.sh("admin", "touch /.bottlerocket/rootfs/etc/x 2>&1")
    script = "d=$(grep cgroup2 /proc/mounts | head -n 1 | awk '{print $2}'); "
    script += "mkdir $d/sheltie-test && echo made; rmdir $d/sheltie-test || rm -r $d/sheltie-test"
    await admin.sh("admin", "true")
    assert "made" in await admin.sh("admin", script.replace("rmdir", "busybox rmdir"))


async def test_mounts_below_mnt_are_the_hosts(admin: Host) -> None:
    """/mnt is shared both ways, and nothing else is."""
    before = Path("/proc/self/mountinfo").read_text()
    place = "/.bottlerocket/rootfs/mnt"
    await admin.sh("admin", f"mount -t tmpfs shared {place} && touch {place}/hello")
    try:
        assert Path("/mnt/hello").exists()
    finally:
        await admin.sh("admin", f"umount {place}")
    await admin.sh(
        "admin", "mount -t tmpfs private /.bottlerocket/rootfs/tmp; mount -t tmpfs x /tmp"
    )

    assert Path("/proc/self/mountinfo").read_text() == before


@pytest.mark.parametrize("superpowered", [False, True])
async def test_the_contracts_files(host: Host, superpowered: bool) -> None:
    """Persistent directory twice, release, hosts; and nothing else of it survives a restart."""
    wish = host.desired("one", superpowered=superpowered, user_data=b'{"a": 1}')
    await host.want(wish)
    places = "/.bottlerocket/host-containers"
    assert await host.sh("one", f"cat {places}/current/user-data") == '{"a": 1}'
    await host.sh("one", f"echo kept > {places}/one/kept; echo lost > /lost; ls {places}")
    assert (host.files("one").persistent / "kept").read_text() == "kept\n"
    assert host.files("one").user_data.stat().st_mode & 0o777 == 0o600
    assert host.files("one").persistent.stat().st_mode & 0o777 == 0o700
    release = await host.sh("one", "cat /etc/bottlerocket-release")
    assert release == Path("/etc/os-release").read_text()
    assert await host.sh("one", "cat /etc/hosts") == Path("/etc/hosts").read_text()
    await host.want(replace(wish, enabled=False))
    await host.want(wish)

    listed = await host.sh("one", f"ls / {places}/current")
    assert "kept" in listed
    assert "lost" not in listed


@pytest.mark.parametrize("superpowered", [False, True])
async def test_the_api_socket_is_reached_also_when_it_is_made_anew(
    host: Host, superpowered: bool
) -> None:
    """/run/api.sock leads to the socket that is there now, whichever daemon made it."""
    await host.want(host.desired("one", superpowered=superpowered))
    assert await host.sh("one", "readlink /run/api.sock") == "host-api/api.sock\n"
    path = host.files("one").api / "api.sock"
    for _ in range(2):
        with closing(socket.socket(socket.AF_UNIX)) as listener:
            listener.bind(str(path))
            assert await host.sh("one", "test -S /run/api.sock && echo there") == "there\n"
            refused = await host.sh("one", "rm /run/host-api/api.sock 2>&1")
            assert "Read-only" in refused
        path.unlink()


@ALL
async def test_the_images_own_run_is_hidden(host: Host) -> None:
    """An image that brings a /run/api.sock of its own does not get between."""
    layout = host.state / "odd"
    tiny.write(layout, files={"run/api.sock": b"mine", "run/other": b""})
    await host.want(host.desired("one", source=f"oci:{layout}"))

    assert (await host.sh("one", "ls /run")).split() == ["api.sock", "host-api"]
    assert await host.sh("one", "readlink /run/api.sock") == "host-api/api.sock\n"


async def test_an_image_without_anything_for_it(host: Host) -> None:
    """An image whose /run is a link into the host's root is not followed."""
    layout = host.state / "odd"
    tiny.write(layout, user="1000:1000", files={"etc/resolv.conf": b"x"})
    await host.want(host.desired("one", source=f"oci:{layout}"))

    assert host.status("one").state is ContainerState.RUNNING
    await until(lambda: Path(f"/proc/{host.status('one').pid}/comm").read_text() == "sleep\n")
    status = await proc_status(host, "one")
    assert status["Uid"].split()[0] == "1000"
    assert status["CapEff"] == "0" * 16


@ALL
async def test_what_it_writes_is_in_its_log(control: Host) -> None:
    """One line each, with time and stream."""
    await until(lambda: control.files("control").log.read_text().endswith("\n"))
    text = control.files("control").log.read_text()

    assert text.split()[1:] == ["stdout", "F", "up"]


async def test_user_data_changes_beside_the_running_container(control: Host) -> None:
    """The file is new inside, and the container the same."""
    pid = control.status("control").pid
    await control.want(control.desired("control", user_data=b"one"))
    await control.want(control.desired("control", user_data=b"two"))

    assert (
        await control.sh("control", "cat /.bottlerocket/host-containers/current/user-data") == "two"
    )
    assert control.status("control").pid == pid


async def test_traps_in_the_persistent_directory(control: Host) -> None:
    """A FIFO, a link, a directory in the place of user-data: replaced or told, never followed."""
    place = "/.bottlerocket/host-containers/current/user-data"
    await control.sh("control", f"mkfifo {place}")
    await control.want(control.desired("control", user_data=b"one"))
    assert control.files("control").user_data.read_bytes() == b"one"
    await control.sh("control", f"rm {place}; busybox ln -s /etc/passwd {place}")
    await control.want(control.desired("control", user_data=b"two"))
    assert not control.files("control").user_data.is_symlink()
    await control.sh("control", f"rm {place}; mkdir {place}")
    await control.want(control.desired("control", user_data=b"three"))

    status = control.status("control")
    assert status.state is ContainerState.RUNNING
    assert "USER_DATA_UNWRITABLE" in status.reason


async def test_a_change_restarts_and_an_equal_write_does_not(control: Host) -> None:
    """Source, command and superpowered restart."""
    pid = control.status("control").pid
    await control.want(control.desired("control"))
    assert control.status("control").pid == pid
    await control.want(control.desired("control", command=("sleep", "999")))
    other = control.status("control").pid
    assert other != pid
    await until(lambda: Path(f"/proc/{other}/cmdline").read_bytes() == b"sleep\x00999\x00")
    await control.want(control.desired("control", superpowered=True))
    assert await namespaces(control, "control") == {"ipc", "mnt", "uts"}


async def test_one_that_ignores_term_is_killed(host: Host) -> None:
    """After the grace it is gone."""
    script = "trap '' TERM; echo deaf; while :; do sleep 1; done"
    await host.want(host.desired("deaf", command=("sh", "-c", script)))
    pid = host.status("deaf").pid
    await until(lambda: host.files("deaf").log.read_text().endswith("deaf\n"))
    await host.want()

    assert host.status("deaf").state is ContainerState.DISABLED
    assert host.status("deaf").last_exit == 137
    assert not Path(f"/proc/{pid}").exists()


@ALL
async def test_what_a_superpowered_container_leaves_is_killed(host: Host) -> None:
    """It shares the host's pid namespace: its children would live on."""
    script = "busybox setsid sleep 777 & sleep 888 & exit 3"
    await host.want(host.desired("admin", superpowered=True, command=("sh", "-c", script)))
    status = await host.eventually("admin", ContainerState.WAITING)
    assert status.last_exit == 3
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert not {b"sleep\x00777\x00", b"sleep\x00888\x00"} & set(commands)


@ALL
async def test_a_frozen_container_can_be_stopped(admin: Host) -> None:
    """Whoever froze it does not hold up its end."""
    facts = FACTS[admin.supervisor.runtime]
    command = [*facts.command(admin.run), "pause", facts.id_of(admin.files("admin"))]
    await asyncio.to_thread(subprocess.run, command, check=True)
    async with asyncio.timeout(10):
        await admin.want()

    assert admin.status("admin").state is ContainerState.DISABLED


async def test_a_bad_one_holds_up_no_good_one(host: Host) -> None:
    """Missing image, foreign source, missing program: each has its reason, the good one runs."""
    await host.want(
        host.desired("good"),
        host.desired("gone", source="oci:/nowhere"),
        host.desired("foreign", source="docker-daemon:x"),
        host.desired("untrusted", source="docker://registry.example/x:1"),
        host.desired("empty", source=None),
        host.desired("broken", command=("/nonexistent",)),
    )

    assert host.status("good").state is ContainerState.RUNNING
    assert host.status("gone").state is ContainerState.WAITING
    assert "no image is at /nowhere" in host.status("gone").reason
    assert host.status("foreign").state is ContainerState.FAILED
    assert host.status("empty").state is ContainerState.FAILED
    # The owner may write a policy, which is no setting: it is tried again.
    assert host.status("untrusted").state is ContainerState.WAITING
    assert "neither pinned by a digest nor judged by a policy" in host.status("untrusted").reason
    assert host.status("broken").state is ContainerState.WAITING
    assert "/nonexistent" in host.status("broken").reason
    assert all("\n" not in one.reason for one in host.supervisor.status())


@ALL
async def test_one_that_ends_is_started_again(host: Host) -> None:
    """With its exit status in the status, after a second."""
    mark = "/.bottlerocket/host-containers/current/mark"
    script = f"test -e {mark} && exec sleep 1000; touch {mark}; exit 7"
    await host.want(host.desired("one", command=("sh", "-c", script)))
    await host.eventually("one", ContainerState.WAITING)
    await host.eventually("one", ContainerState.RUNNING)

    assert (host.status("one").last_exit, host.status("one").restarts) == (7, 1)


async def test_exec_needs_a_running_container(host: Host) -> None:
    """Neither an unknown nor a disabled one can be entered."""
    await host.want(host.desired("off", enabled=False))
    for name in ("off", "unknown"):
        with pytest.raises(NotFoundError):
            await host.supervisor.exec(name, [b"true"], size=None)


async def test_execs_have_the_containers_rights(control: Host) -> None:
    """A command in an unprivileged container is as unprivileged, and in its cgroup."""
    found = await control.sh("control", "grep -E 'CapEff|NoNewPrivs|^Seccomp:' /proc/self/status")

    assert found.split() == ["CapEff:", "00000000a80425fb", "NoNewPrivs:", "1", "Seccomp:", "2"]


async def test_what_an_exec_leaves_in_run_is_removed(control: Host) -> None:
    """Ended execs leave no files, and a killed daemon's are swept."""
    await control.sh("control", "true")
    assert list((control.run / "exec").iterdir()) == []


@ALL
async def test_adopting_after_kill_9(host: Host) -> None:
    """Killed at any time: what runs is found as it was, what ended has its exit status."""
    quick = ("sh", "-c", "cat /.bottlerocket/host-containers/current/go; exit 7")
    wants = {
        "stays": {"enabled": True, "source": f"oci:{host.layout}"},
        "ends": {"enabled": True, "source": f"oci:{host.layout}", "command": list(quick)},
    }
    go = host.files("ends").persistent / "go"
    go.parent.mkdir(parents=True)
    os.mkfifo(go)
    argv = [sys.executable, "-I", "-m", "tests.host.supervisor.stand"]
    argv += [str(host.state), str(host.run), host.runtime]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdin is not None
        assert daemon.stdout is not None
        daemon.stdout.readline()
        daemon.stdin.write(json.dumps(wants) + "\n")
        daemon.stdin.flush()
        first = json.loads(await asyncio.to_thread(daemon.stdout.readline))
        daemon.kill()
    conmon = os.pidfd_open(int(host.files("ends").conmon_pid.read_text()))
    go.write_text("now\n")
    await asyncio.to_thread(wait_for, conmon)
    assert "now" in host.files("ends").log.read_text()
    after = Supervisor(host.state, host.run, host.runtime, grace=0.05)
    await after.start()
    try:
        found = {one.name: one for one in after.status()}
        assert found["stays"].state is ContainerState.RUNNING
        assert found["stays"].pid == first["stays"]["pid"]
        assert found["ends"].last_exit == 7
        await after.apply({"stays": host.desired("stays", source=f"oci:{host.layout}")})
        await after.settled()
        assert after.status()[1].pid == first["stays"]["pid"]
        process = await after.exec("stays", [b"echo", b"in"], size=None)
        assert (await output_of(process))[0] == b"in\n"
        os.kill(first["stays"]["pid"], signal.SIGKILL)
        async with asyncio.timeout(10):
            while after.status()[1].last_exit != 137:
                await asyncio.sleep(0.01)
        await after.stop_all()
    finally:
        await after.close()


@pytest.mark.parametrize("moment", [0.0, 0.02, 0.04, 0.06, 0.1])
async def test_kill_9_while_starting(host: Host, moment: float) -> None:
    """Whatever was half done is cleared by the next supervisor, and the container runs."""
    argv = [sys.executable, "-I", "-m", "tests.host.supervisor.stand"]
    argv += [str(host.state), str(host.run), host.runtime]
    wants = {"one": {"enabled": True, "source": f"oci:{host.layout}", "superpowered": True}}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdin is not None
        assert daemon.stdout is not None
        daemon.stdout.readline()
        daemon.stdin.write(json.dumps(wants) + "\n")
        daemon.stdin.flush()
        await asyncio.sleep(moment)
        daemon.kill()
    after = Supervisor(host.state, host.run, host.runtime, grace=0.05)
    await after.start()
    try:
        wish = host.desired("one", superpowered=True, source=f"oci:{host.layout}")
        await after.apply({"one": wish})
        await after.settled()
        (status,) = after.status()
        assert status.state is ContainerState.RUNNING, status
        process = await after.exec("one", [b"echo", b"in"], size=None)
        assert (await output_of(process))[0] == b"in\n"
        await after.stop_all()
    finally:
        await after.close()


@ALL
async def test_conmon_killed(control: Host) -> None:
    """The container runs on; that its exit status is lost is said, and it is started again."""
    os.kill(int(control.files("control").conmon_pid.read_text()), signal.SIGKILL)
    assert await control.sh("control", "echo in") == "in\n"
    os.kill(control.status("control").pid, signal.SIGKILL)
    status = await control.eventually("control", ContainerState.WAITING)

    assert "status unknown" in status.reason
    assert status.last_exit is None
    await control.eventually("control", ContainerState.RUNNING)


def wait_for(pidfd: int) -> None:
    """Wait until a process has ended."""
    import select

    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(10000)
    os.close(pidfd)


async def test_a_daemon_with_another_runtime_adopts(tmp_path: Path, run: Path) -> None:
    """A container of runc is found, kept and stopped by a supervisor that runs crun."""
    before = everything()
    first = Host(tmp_path, run, "runc")
    await first.supervisor.start()
    await first.want(first.desired("one"))
    pid = first.status("one").pid
    await first.supervisor.close()
    after = Supervisor(tmp_path, run, "crun", grace=0.05)
    await after.start()
    try:
        await after.apply({"one": first.desired("one")})
        await after.settled()
        assert after.status()[0].pid == pid
        await after.stop_all()
    finally:
        await after.close()
    assert settled(before) == before


@ALL
async def test_conmon_is_out_of_the_daemons_cgroup(control: Host) -> None:
    """Whoever kills the daemon's cgroup leaves conmon alone."""
    own = Path("/proc/self/cgroup").read_text().splitlines()
    pid = int(control.files("control").conmon_pid.read_text())
    theirs = Path(f"/proc/{pid}/cgroup").read_text().splitlines()

    for line in own:
        number, kind, _ = line.split(":", 2)
        if kind in {"", "name=systemd"}:
            assert line not in theirs
            assert any(one.startswith(f"{number}:{kind}:") and "conmon" in one for one in theirs)


async def test_probing_finds_a_runtime_and_says_when_none_works(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` takes crun here; without any program the reasons are named, and nothing is left."""
    before = everything()
    supervisor = Supervisor(tmp_path, run)
    await supervisor.start()
    assert supervisor.runtime == "crun"
    await supervisor.close()
    monkeypatch.setattr("host.runtime.programs.PLACES", ())
    with pytest.raises(MachineError, match="crun: crun is missing; runc: runc is missing"):
        await Supervisor(tmp_path, run).start()

    assert settled(before) == before
    assert list(run.glob("probe*")) == []
