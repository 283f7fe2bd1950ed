"""A running host as the e2e tests see it: through ssh and the prefixes of up.json, nothing else."""

import json
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATIENCE = float(os.environ.get("SHELTIE_PATIENCE", "1"))
"""How much slower than a machine the host is: every wait is longer by that."""

LOOKING = frozenset({"cat", "hostname", "ls", "pgrep", "ps", "readlink", "stat", "test"})
"""Programs that change nothing on the host, as the tests use them."""
Finished = subprocess.CompletedProcess[bytes]


@dataclass(frozen=True)
class Host:
    """What up.json says, and the two ways in."""

    up: dict[str, Any]
    let_in: list[str] = field(default_factory=list)
    """The key that lets in since `ensure`; nothing once somebody may have changed that."""

    @classmethod
    def load(cls, path: Path) -> "Host":
        """Read up.json."""
        return cls(json.loads(path.read_text()))

    def argv(self, where: str, *command: str) -> list[str]:
        """Return the argv that runs `command` in control, in admin, or on the host."""
        return [*self.up["exec"][where], *command]

    def run(
        self, where: str, *command: str, stdin: bytes = b"", timeout: float = 60, check: bool = True
    ) -> Finished:
        """Run `command` there and return what it did."""
        if where != "host" or command[0] not in LOOKING:
            self.let_in.clear()
        finished = subprocess.run(
            self.argv(where, *command),
            input=stdin,
            capture_output=True,
            timeout=timeout * PATIENCE,
            check=False,
        )
        if check and finished.returncode:
            raise AssertionError(
                f"{where}: {command} gave {finished.returncode}: {finished.stderr!r}"
            )
        return finished

    def text(self, where: str, *command: str) -> str:
        """Return what `command` printed, without the last newline."""
        return self.run(where, *command).stdout.decode().rstrip("\n")

    def ssh_argv(
        self, *command: str, identity: str | Path = "", options: Sequence[str] = ()
    ) -> list[str]:
        """Return the argv of a real ssh client that trusts exactly the key we were told of."""
        ssh = self.up["ssh"]
        fixed = {
            "BatchMode": "yes",
            "ConnectTimeout": f"{20 * PATIENCE:.0f}",
            "GlobalKnownHostsFile": "/dev/null",
            "IdentitiesOnly": "yes",
            "LogLevel": "ERROR",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": ssh["known_hosts"],
        }
        settings = [part for name, value in fixed.items() for part in ("-o", f"{name}={value}")]
        key = str(identity or ssh["identity"])
        where = ["-p", str(ssh["port"]), f"{ssh['user']}@{ssh['host']}"]
        return ["ssh", "-F", "none", "-i", key, *settings, *options, *where, *command]

    def ssh(
        self,
        *command: str,
        identity: str | Path = "",
        options: Sequence[str] = (),
        stdin: bytes = b"",
        timeout: float = 60,
    ) -> Finished:
        """Run `command` in admin by ssh."""
        argv = self.ssh_argv(*command, identity=identity, options=options)
        return subprocess.run(
            argv, input=stdin, capture_output=True, timeout=timeout * PATIENCE, check=False
        )

    def enable(self, *keys: str) -> dict[str, Any]:
        """Run enable-admin-container in control with `keys`, and trust the host key it prints."""
        options = [part for key in keys for part in ("--key", key)]
        done = self.run("control", "enable-admin-container", "--json", *options, timeout=180)
        answer: dict[str, Any] = json.loads(done.stdout)
        Path(self.up["ssh"]["known_hosts"]).write_text("\n".join(answer["known_hosts"]) + "\n")
        return answer

    def ensure(self) -> None:
        """Have admin enabled for our own key; nothing is done where it is known to be."""
        key = self.own_key()
        if self.let_in != [key]:
            self.enable(key)
            self.let_in[:] = [key]

    def disable(self) -> None:
        """Run disable-admin-container in control."""
        self.run("control", "disable-admin-container", timeout=90)

    def status(self) -> dict[str, Any]:
        """Return `control status --json`."""
        answer: dict[str, Any] = json.loads(
            self.run("control", "control", "status", "--json").stdout
        )
        return answer

    def containers(self) -> list[dict[str, Any]]:
        """Return the containers of the status without what they use at this moment."""
        used = {"memory_bytes", "cpu_seconds", "pids"}
        return [
            {name: value for name, value in one.items() if name not in used}
            for one in self.status()["containers"]
        ]

    def own_key(self) -> str:
        """Return the public key line of up.json's identity."""
        return Path(self.up["ssh"]["identity"] + ".pub").read_text().strip()


def make_key(directory: Path, name: str) -> tuple[Path, str]:
    """Make an Ed25519 key and return (identity file, public line)."""
    path = directory / name
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{name}@example", "-f", str(path)]
    subprocess.run(argv, check=True)
    return path, path.with_suffix(".pub").read_text().strip()


def wait_for(what: str, true: Any, seconds: float = 30) -> None:
    """Wait until `true()` is true; fail with `what` when it does not become so in time."""
    deadline = time.monotonic() + seconds * PATIENCE
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {seconds} s: {what}")
        time.sleep(0.05)  # a probe of a foreign process has no event to wait for
