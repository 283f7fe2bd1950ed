"""What a deputy began is named, not killed, and its own tool stops it."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from admin.end.deputies import of_cgroup
from admin.ssh.protocol import Execute, Pty
from tests.admin.end.inside import in_box, on_host
from tests.admin.session.seam import session
from tests.admin.sheltie.conftest import SHELTIE, Box, box
from tests.admin.sheltie.engine import engine
from tests.admin.sheltie.test_terminal import wait_for

__all__ = ["box"]
pytestmark = pytest.mark.timeout(240)

ID = "0123456789abcdef" * 4
PATIENT = 60
"""Seconds for the host's own programs, on a crowded machine."""


@pytest.mark.parametrize(
    ("path", "kind", "stop"),
    [
        ("/system.slice/run-u12.service", "systemd-run", "systemctl stop run-u12.service"),
        ("/system.slice/run-r0a1b.service/x", "systemd-run", "systemctl stop run-r0a1b.service"),
        ("/system.slice/run-p7-i8.scope", "systemd-run", "systemctl stop run-p7-i8.scope"),
        (f"/machine.slice/libpod-{ID}.scope/container", "podman", f"podman stop {ID}"),
        (f"/libpod_parent/libpod-{ID}", "podman", f"podman stop {ID}"),
        (f"/system.slice/docker-{ID}.scope", "docker", f"docker stop {ID}"),
        (f"/docker/{ID}", "docker", f"docker stop {ID}"),
        (f"/kubepods.slice/x.slice/cri-containerd-{ID}.scope", "cri", f"crictl stop {ID}"),
    ],
)
def test_a_deputys_place_is_known(path: str, kind: str, stop: str) -> None:
    """Transient units and containers can be told by their cgroups."""
    placed = of_cgroup(path)

    assert placed is not None
    assert (placed[0], " ".join(placed[2])) == (kind, stop)


@pytest.mark.parametrize(
    "path", ["/", "/system.slice/sshd.service", "/system.slice/run-me.service", "/docker/short",
             "/user.slice/user-0.slice/session-1.scope", "/system.slice/run-docker.mount"],
)  # fmt: skip
def test_other_places_are_not(path: str) -> None:
    """Services, logins and mounts of the host's are nobody's deputy."""
    assert of_cgroup(path) is None


def left_running(
    box: Box, command: str, until: Callable[[], bool] | None = None
) -> list[tuple[str, str]]:
    """Return (line, stopping command) for what a session on a terminal names at its end."""
    with session(before=in_box(box)) as seam:
        words = " ".join(SHELTIE)
        seam.ask(Pty("xterm", 24, 80, {}), Execute(f"{words} -- {command}".encode()))
        if until is not None:
            wait_for(until, PATIENT)
            seam.stream.sendall(b"\n")
        text = seam.rest().decode()
        assert seam.exited().status == 0, text
    return re.findall(r"sheltie: (LEFT RUNNING [^\r\n]*`sheltie ([^`]*)`)", text)


def running(box: Box, seconds: str) -> bool:
    """Whether the deputy's work is there."""
    return box.on_host("pgrep", "-f", f"sleep {seconds}$") != ""


@contextmanager
def daemon(box: Box, *argv: str) -> Iterator[None]:
    """A daemon of the host's."""
    with subprocess.Popen([*on_host(box), *argv], stdin=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            subprocess.run(["kill", "-KILL", child], check=True)


@pytest.mark.privileged
def test_what_podman_began_is_named(box: Box) -> None:
    """A container that podman's service started for the session lives on until podman stops it."""
    url = "unix:///run/podman.sock"
    with (
        engine(box, "enabled") as rootfs,
        daemon(box, "podman", "system", "service", "--time", "0", url),
    ):
        wait_for(lambda: box.on_host("ls", "/run/podman.sock") != "", PATIENT)
        run = ["podman", "--remote", "--url", url, "run", "--detach", "--stop-timeout", "1"]
        named = left_running(box, " ".join([*run, *rootfs, "7400"]))
        assert running(box, "7400")
        ((line, stop),) = named
        assert "(podman)" in line
        box.run(box.sheltie(*stop.split()))
        assert not running(box, "7400")


@pytest.mark.privileged
def test_what_a_spooler_began_is_named(box: Box) -> None:
    """A job that a played atd started for the session is named and can be killed."""
    spool = box.state / "spool"
    atd = box.state / "atd"
    shutil.copy("/bin/bash-static", atd)
    box.on_host("mkfifo", str(spool))
    loop = f'while read -r line; do sh -c "$line" & done <>{spool}'
    with daemon(box, str(atd), "-c", loop):
        command = f"sh -c 'echo exec sleep 7401 >{spool}; read x'"
        named = left_running(box, command, lambda: running(box, "7401"))
        assert running(box, "7401")
        ((line, stop),) = named
        assert "(at)" in line
        box.run(box.sheltie(*stop.split()))
        wait_for(lambda: not running(box, "7401"), PATIENT)


@pytest.mark.privileged
def test_a_container_started_by_hand_ends(box: Box) -> None:
    """Without a deputy a container descends from the session, and ends with it."""
    with engine(box, "enabled") as rootfs:
        named = left_running(box, " ".join(["podman", "run", "--detach", *rootfs, "7402"]))
        assert (named, running(box, "7402")) == ([], False)
