"""Two SSH servers on loopback ports, ours and OpenSSH's sshd, and the one client that both get."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from contract.durable import write_file
from contract.errors import FailedError, UnavailableError
from dev.site import PYTHON

__all__ = ["Server", "make", "run"]

SSHD = "/usr/sbin/sshd"
SECONDS = 60
ALGORITHMS = (
    "KexAlgorithms=curve25519-sha256", "Ciphers=aes128-gcm@openssh.com",
    "HostKeyAlgorithms=ssh-ed25519",
)  # fmt: skip
# The shell's start files would be most of what is measured: both servers have none.
WITHOUT_FILES = """
for one in /etc/bash.bashrc ~/.bashrc; do
    [ ! -f "$one" ] || mount --bind /dev/null "$one" || exit
done
exec "$@"
"""
BARE_SHELL = (
    "unshare", "--mount", "--propagation", "private", "sh", "-c", WITHOUT_FILES, "sh",
)  # fmt: skip
CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {host_key}
AuthorizedKeysFile {keys}
PermitRootLogin prohibit-password
PasswordAuthentication no
StrictModes no
UsePAM no
UseDNS no
PidFile none
LogLevel QUIET
MaxStartups 200
Subsystem sftp /usr/lib/openssh/sftp-server
"""


@dataclass
class Server:
    """One of the two: how it is started, and how it is reached."""

    name: str
    place: Path
    argv: list[str]
    port: int
    held: "subprocess.Popen[str] | None" = None

    def start(self) -> float:
        """Start it, and return the seconds until it greeted."""
        begun = time.perf_counter()
        argv = [*BARE_SHELL, PYTHON, "-I", "-m", "dev.hold", *self.argv]
        pipe = subprocess.PIPE
        self.held = subprocess.Popen(
            argv, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, bufsize=1
        )
        _await_greeting(self.port)
        return time.perf_counter() - begun

    def stop(self) -> None:
        """End it, and wait for its end."""
        if self.held is not None:
            self.held.communicate(timeout=SECONDS)
            self.held = None

    def look(self) -> dict[str, float]:
        """Return what its processes cost until now."""
        assert self.held is not None  # noqa: S101  started
        assert self.held.stdin is not None  # noqa: S101  a pipe
        assert self.held.stdout is not None  # noqa: S101  a pipe
        self.held.stdin.write("\n")
        return cast("dict[str, float]", json.loads(self.held.stdout.readline()))

    def settle(self, live: float) -> dict[str, float]:
        """Wait until no more than `live` processes are left of it, and return what they cost."""
        deadline = time.monotonic() + SECONDS
        while (seen := self.look())["live"] > live:
            if time.monotonic() > deadline:
                raise FailedError(f"{self.name} does not come to rest", code="BENCH_FAILED")
            time.sleep(0.05)
        return seen

    def ssh(self, command: str, *options: str) -> list[str]:
        """Return the argv of the client that both get."""
        return ["ssh", *self._settings(), *options, "-p", str(self.port), "127.0.0.1", command]

    def sftp(self, batch: Path) -> list[str]:
        """Return the argv of the client for files, with a file of what it is to do."""
        where = ["-P", str(self.port), "127.0.0.1"]
        return ["sftp", "-q", *self._settings(), "-b", str(batch), *where]

    def _settings(self) -> list[str]:
        fixed = (
            *ALGORITHMS, "BatchMode=yes", "IdentitiesOnly=yes", "LogLevel=ERROR",
            "StrictHostKeyChecking=accept-new", f"UserKnownHostsFile={self.place}/known",
            "GlobalKnownHostsFile=/dev/null", "UpdateHostKeys=no",
        )  # fmt: skip
        settings = [part for one in fixed for part in ("-o", one)]
        return ["-F", "none", "-i", f"{self.place}/id", *settings]


@contextmanager
def _privsep() -> Iterator[None]:
    """Give sshd its empty directory, and take it away again where it was not there."""
    place, there = Path("/run/sshd"), Path("/run/sshd").exists()
    place.mkdir(mode=0o755, exist_ok=True)
    place.chmod(0o755)
    try:
        yield
    finally:
        if not there:
            place.rmdir()


@contextmanager
def make(place: Path) -> Iterator[tuple[Server, Server]]:
    """Give our server and theirs, with the same host key and the same user's key.

    Raises UnavailableError, FailedError (BENCH_FAILED).
    """
    if not os.access(SSHD, os.X_OK):
        raise UnavailableError(
            f"{SSHD} is not here", hint="python3 -I dev/packages.py bench", code="BENCH_FAILED"
        )
    keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f"]
    host_keys = place / "etc/ssh"
    host_keys.mkdir(parents=True)
    host_key = host_keys / "ssh_host_ed25519_key"
    for path in (place / "id", host_key):
        run([*keygen, str(path)])
    key = (place / "id.pub").read_text().strip()
    write_file(place / "user-data", json.dumps({"ssh": {"authorized-keys": [key]}}).encode())
    write_file(place / "keys", f"{key}\n".encode())
    ours, theirs = _free_port(), _free_port()
    config = CONFIG.format(port=theirs, host_key=host_key, keys=place / "keys")
    write_file(place / "sshd_config", config.encode())
    serve = ["-m", "admin", "--state", str(place), "serve", "--listen", f"127.0.0.1:{ours}"]
    with _privsep():
        yield (
            Server("admin", place, [PYTHON, "-I", *serve], ours),
            Server("sshd", place, [SSHD, "-D", "-f", str(place / "sshd_config")], theirs),
        )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _await_greeting(port: int) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                if connection.recv(4) == b"SSH-":
                    return
        except OSError:
            pass  # not yet
        time.sleep(0.002)
    raise FailedError(f"nothing greets on port {port}", code="BENCH_FAILED")


def run(argv: list[str]) -> None:
    """Run a client to its end. Raises FailedError (BENCH_FAILED)."""
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=SECONDS
    )
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines() or [""]
        raise FailedError(f"{argv[0]}: {done.returncode} {words[-1]}", code="BENCH_FAILED")
