"""A running host: the stand-in or this machine, with the daemon on it and control in it.

Everything here goes the way a user would: the daemon is a process, its settings come over its API,
containers are entered by `hostd exec`.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.durable import read_file, remove_file, write_file
from contract.errors import FailedError, SheltieError, TimedOutError
from dev.machine import probe
from dev.site import CLONE, PYTHON, Site, cache
from dev.standin import Standin, bring_down, bring_up

__all__ = ["Running"]

READY_SECONDS = 30
LOGIN_USER = "ec2-user"
JSON_MAX = 1 << 20
FORGOTTEN = ("settings", "containers", "host-containers")
"""What a new run does not take over from the last one in its state; unpacked images it does."""
REBOOT = "sh -c 'echo a host that is tried out from a clone does not reboot >&2; exit 1'"
"""In place of the daemon's own command: the machine below is somebody's."""


@dataclass(frozen=True)
class Running:
    """A host that runs. `pid` is its PID 1 as the machine sees it; `stock` whether it is one."""

    site: Site
    pid: int
    standin: bool
    stock: bool = False

    @property
    def socket(self) -> Path:
        """The host's own API socket, as the machine reaches it: short by construction."""
        inside = self.site.run / "api/host/api.sock"
        return Path(f"/proc/{self.pid}/root{inside}") if self.standin else inside

    def on_host(self, *command: str) -> list[str]:
        """Return the argv that runs `command` as root on the host."""
        if not self.standin:
            return ["/usr/bin/env", "--", *command]
        return [PYTHON, "-I", "-m", "dev.enter", "--record", str(self.site.record), "--", *command]

    def hostd(self, verb: str, *arguments: str) -> list[str]:
        """Return the argv of a hostd command on the host."""
        where = ["--state", str(self.site.state), "--run", str(self.site.run)]
        return self.on_host(PYTHON, "-I", "-m", "host", verb, *where, *arguments)

    def in_container(self, name: str, *command: str) -> list[str]:
        """Return the argv that runs `command` as root in host container `name`."""
        return self.hostd("exec", name, "--", *command)

    def api(self, *arguments: str) -> str:
        """Run apiclient on the host's own socket and return what it prints. Raises FailedError."""
        argv = [PYTHON, "-I", "-m", "contract.apiclient", "-s", str(self.socket), *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise FailedError(done.stderr.strip() or "apiclient failed", code="API_FAILED")
        return done.stdout

    def status(self) -> dict[str, Any]:
        """Return the daemon's own status. Raises FailedError."""
        answer: dict[str, Any] = json.loads(self.api("raw", "-u", "/sheltie/v1/status"))
        return answer


def find_host(site: Site, *, follow_parent: bool, stock: bool = False) -> Running:
    """Return this machine where its PID 1 may be entered, else a stand-in that was just made.

    A stock host is always a stand-in: on it whoever may use a socket is root.
    """
    site.make()
    for name in FORGOTTEN:
        shutil.rmtree(site.state / name, ignore_errors=True)
    if probe() and not stock:
        return Running(site, 1, standin=False)
    binds = (CLONE, cache() / "images")
    made: Standin = bring_up(
        record=site.record, state=site.state, binds=binds, follow_parent=follow_parent
    )
    return Running(site, made.pid, standin=True, stock=stock)


def start_daemon(host: Running) -> None:
    """Start hostd on the host and wait until its socket answers. Raises SheltieError."""
    site = host.site
    stock = ["--stock"] if host.stock else []
    options = ["--reboot-command", REBOOT, *stock]
    argv = host.hostd("serve", "--socket", str(site.run / "api/host/api.sock"), *options)
    entry, command = argv[: -len(argv) + argv.index("--") + 1], argv[argv.index("--") + 1 :]
    respawned = [*entry, PYTHON, "-I", "-m", "dev.respawn", *command]
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    log = os.open(site.log, flags, 0o600)
    try:
        process = subprocess.Popen(
            respawned,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    finally:
        os.close(log)
    write_file(site.daemon, json.dumps({"pid": process.pid}).encode())
    _wait_for_socket(host, process)


def _wait_for_socket(host: Running, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            words = host.site.log.read_text(errors="replace").strip().splitlines()
            raise FailedError(
                f"the daemon did not start: {words[-1] if words else 'it said nothing'}",
                code="DAEMON_FAILED",
            )
        with socket.socket(socket.AF_UNIX) as probe_socket:
            try:
                probe_socket.connect(str(host.socket))
            except OSError:
                time.sleep(0.02)
            else:
                return
    raise TimedOutError(
        f"the daemon's socket did not answer in {READY_SECONDS} s",
        hint=f"see {host.site.log}",
        code="DAEMON_SILENT",
    )


def configure(host: Running, images: dict[str, Path], port: int) -> None:
    """Give the daemon its first settings, as the host's owner would. Raises SheltieError."""
    from base64 import b64encode

    user_data = {"user": LOGIN_USER, "sheltie": {"listen": f"127.0.0.1:{port}"}}
    containers = {
        "control": {
            "source": f"oci:{images['control']}:latest",
            "superpowered": False,
            "enabled": True,
        },
        "admin": {
            "source": f"oci:{images['admin']}:latest",
            "superpowered": True,
            "enabled": False,
            "user-data": b64encode(json.dumps(user_data).encode()).decode(),
        },
    }
    host.api("set", "-j", json.dumps({"host-containers": containers}))


def wait_for_container(host: Running, name: str, seconds: float = READY_SECONDS) -> None:
    """Wait until container `name` runs. Raises TimedOutError with the daemon's reason."""
    deadline = time.monotonic() + seconds
    reason = ""
    while time.monotonic() < deadline:
        state, reason = _state(host, name)
        if state == "running":
            return
        if state == "failed":
            break
        time.sleep(0.05)
    raise TimedOutError(
        f"container {name} does not run: {reason or 'no reason given'}",
        hint=f"see {host.site.log}",
        code="CONTAINER_NOT_RUNNING",
    )


def _state(host: Running, name: str) -> tuple[str, str]:
    """Return the state of a container and why; a stock host tells only by what can be run in it."""
    if host.stock:
        argv = host.in_container(name, "true")
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        return ("waiting", done.stderr.strip()) if done.returncode else ("running", "")
    states = {one["name"]: one for one in host.status()["containers"]}
    container = states.get(name, {})
    return container.get("state", ""), container.get("reason", "")


def free_port() -> int:
    """Return a TCP port of the loopback address that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def stop(site: Site) -> None:
    """End whatever runs at `site`: containers, daemon, stand-in. Idempotent."""
    daemon = _daemon(site)
    if site.record.exists():
        bring_down(site.record)
        _end_process(daemon)
    elif daemon:
        host = Running(site, 1, standin=False)
        done = subprocess.run(host.hostd("stop"), check=False, capture_output=True, timeout=120)
        _end_process(daemon)
        if done.returncode:
            raise FailedError(
                f"the containers did not stop: {done.stderr.decode(errors='replace').strip()}",
                code="STOP_FAILED",
            )
    for path in (site.daemon, site.up):
        if path.exists():
            remove_file(path)


def _daemon(site: Site) -> int:
    try:
        return int(json.loads(read_file(site.daemon, JSON_MAX))["pid"])
    except FileNotFoundError:
        return 0


def _end_process(pid: int) -> None:
    """End a process of ours by pidfd, once its command line shows that it still is ours."""
    try:
        descriptor = os.pidfd_open(pid) if pid else -1
    except ProcessLookupError:
        return
    if descriptor < 0:
        return
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"dev.respawn" in command:
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
    finally:
        os.close(descriptor)


def check_nothing_else(site: Site) -> None:
    """Raise SheltieError when a host already runs at `site`."""
    if site.up.exists() or site.daemon.exists():
        raise SheltieError(
            f"a host already runs at {site.root}", hint="end it with: make down", code="ALREADY_UP"
        )
