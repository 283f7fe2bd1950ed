"""After the whole job the machine itself holds nothing of ours; nor after it was interrupted."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.host import Host, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.image, pytest.mark.privileged, pytest.mark.timeout(180)]

CLONE = Path(__file__).resolve().parents[2]
LISTENING = "0A"  # TCP_LISTEN, include/net/tcp_states.h
MOMENTS = (0.1, 0.4, 0.8, 1.2, 1.8, 2.5, 3.5, 5.0)
"""Seconds after which the job is interrupted: setting up, starting, logging in, ending."""
SOAK_MOMENTS = tuple(0.05 + number * 0.08 for number in range(80))


def processes() -> Iterator[tuple[Path, str]]:
    """Yield each process of the machine with its command line."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield entry, (entry / "cmdline").read_text(errors="replace").replace("\0", " ")
            except (FileNotFoundError, ProcessLookupError):
                continue


def in_namespace(inode: str) -> list[str]:
    """Return the processes in the pid namespace `inode`."""
    found = []
    for entry, line in processes():
        try:
            if str((entry / "ns/pid").readlink()) == inode:
                found.append(line)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def about(site: Path) -> list[str]:
    """Return the processes whose command line names `site`."""
    return [line for entry, line in processes() if str(site) in line and entry.name.isdigit()]


def sockets(site: Path) -> list[str]:
    """Return the machine's Unix sockets below `site`."""
    return [line for line in Path("/proc/net/unix").read_text().splitlines() if str(site) in line]


def listens(port: int) -> bool:
    """Whether somebody listens on `port` of the machine."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(
        line.split()[3] == LISTENING and line.split()[1].endswith(f":{port:04X}") for line in lines
    )


def cgroups() -> set[str]:
    """Return the stand-ins' cgroups, two levels deep: where they are made."""
    return {str(path) for path in Path("/sys/fs/cgroup").glob("**/standin-*")}


def test_the_machine_holds_nothing_afterwards(tmp_path: Path) -> None:
    """Up, a login, down: no process, mount, socket or cgroup of it is left on the machine."""
    site, mounts = tmp_path / "site", Path("/proc/self/mountinfo").read_text()
    argv = [sys.executable, "-I", "-m", "dev", "up", "--site", str(site)]
    down = [*argv[:4], "down", "--site", str(site)]
    subprocess.run(argv, cwd=CLONE, stdin=subprocess.DEVNULL, check=True, timeout=600)
    try:
        host = Host.load(site / "up.json")
        init, port = Path(f"/proc/{host.up['host']['pid']}"), host.up["ssh"]["port"]
        namespace = str((init / "ns/pid").readlink())
        own = set(json.loads((site / "standin.json").read_text())["cgroups"])
        assert host.ssh("sheltie true").returncode == 0
        assert listens(port)
        assert len(in_namespace(namespace)) > 3
        assert own <= cgroups()
    finally:
        subprocess.run(down, cwd=CLONE, stdin=subprocess.DEVNULL, check=True, timeout=120)

    # What was killed is an orphan, and the machine's init takes its time to bury it.
    wait_for("its processes are gone", lambda: not in_namespace(namespace), 10)
    assert not about(site)
    assert not sockets(site)
    assert not listens(port)
    assert not own & cgroups()
    assert mounts == Path("/proc/self/mountinfo").read_text()
    assert not (site / "up.json").exists()


@pytest.mark.parametrize(
    "moment", [*MOMENTS, *(pytest.param(one, marks=pytest.mark.soak) for one in SOAK_MOMENTS)]
)
def test_an_interrupted_job_leaves_nothing(tmp_path: Path, moment: float) -> None:
    """Ctrl-C at any moment: one line, status 130, and nothing of it is left."""
    site, mounts = tmp_path / "site", Path("/proc/self/mountinfo").read_text()
    argv = [sys.executable, "-I", "-m", "dev", "run", "--site", str(site)]
    # A terminal sends the signal to the whole foreground process group: ours is one of its own.
    with subprocess.Popen(
        argv,
        cwd=CLONE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGINT)
        out, errors = process.communicate(timeout=120)

    if process.returncode == 0:  # it was faster
        assert "done in" in out
    else:
        assert process.returncode == 130, errors
        assert errors == "make run: interrupted; nothing is left running\n"
    wait_for("its processes are gone", lambda: not about(site), 5)
    assert not sockets(site)
    assert not (site / "standin.json").exists()
    assert mounts == Path("/proc/self/mountinfo").read_text()
