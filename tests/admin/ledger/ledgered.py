"""A box whose ledger runs, on a stand-in host with an /etc that can be written to."""

import json
import re
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from admin.ledger.serve import RECENT_SECONDS
from admin.ssh.protocol import Execute, Pty
from tests.admin.end.inside import in_box
from tests.admin.session.seam import Seam, session
from tests.admin.sheltie.conftest import PYTHON, SHELTIE, Box
from tests.admin.sheltie.test_terminal import wait_for

__all__ = ["Ledgered", "ledgered"]

SOCKET = "/run/sheltie/ledger.sock"
RECORDS = "/run/sheltie/ledger"
SECONDS = 30.0
WRITABLE = """
set -e
for place in /etc /var/spool; do
    mkdir -p /run/writable$place
    cp -a $place/. /run/writable$place
    mount --bind /run/writable$place $place
done
mkdir -p /var/spool/cron/crontabs
mount -t tmpfs -o mode=0700 home /root
mkdir -m 700 /root/.ssh
ip link set lo up
"""


@dataclass
class Ledgered:
    """The box, and the processes of its ledger."""

    box: Box
    process: subprocess.Popen[bytes]

    def session(self, command: str, *, meanwhile: Callable[[], None] | None = None) -> list[str]:
        """Run a shell's words on the host in a session; return what its end names.

        With `meanwhile` the session waits for it, once it has done its own.
        """
        script = self.box.state / f"script-{secrets.token_hex(4)}"
        script.write_text(f"{command}\n" + ("echo done; read -r _\n" if meanwhile else ""))
        begun = time.monotonic()
        self.unseen()  # answered after the tables were read: what happened until now is no news
        with session(before=in_box(self.box)) as seam:
            words = " ".join([*SHELTIE, "--", "sh", str(script)])
            seam.ask(
                Pty("dumb", 24, 400, {}),
                Execute(f"stty -echo; echo ready; read -r _; exec {words}".encode()),
            )
            _await(seam, b"ready\n")
            if time.monotonic() - begun > RECENT_SECONDS / 2:
                self.unseen()  # they are being read anew for this session
            seam.stream.sendall(b"\n")
            if meanwhile:
                _await(seam, b"done\n")
                meanwhile()
                seam.stream.sendall(b"\n")
            text = seam.rest().decode(errors="replace")
            assert seam.exited().status == 0, text
        return re.findall(r"sheltie: (?:CHANGED |the ledger: )([^\r\n]*)", text)

    def exec(self, *command: str) -> "subprocess.CompletedProcess[bytes]":
        """Run sheltie without a session, as `apiclient exec` does."""
        argv = self.box.sheltie(*command)
        return self.box.run([*in_box(self.box)[:4], *argv])

    def leftovers(self, *options: str) -> "subprocess.CompletedProcess[bytes]":
        """Run `sheltie leftovers`."""
        return self.box.run(self.box.sheltie("leftovers", *options))

    def listed(self) -> list[dict[str, Any]]:
        """Return what `sheltie leftovers --json` lists."""
        done = self.leftovers("--json")
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)["leftovers"]
        return found

    def unseen(self) -> list[str]:
        """Return what the ledger says that it cannot see."""
        argv = [PYTHON, "-I", "-m", "admin.ledger.leftovers", "--json"]
        done = self.box.run(self.box.argv(*argv))
        return list(json.loads(done.stdout)["unseen"]) if done.returncode == 0 else ["no answer"]

    def listener(self) -> int:
        """Return the listener's pid, as the machine sees it."""
        found = subprocess.run(
            ["pgrep", "-f", "-P", str(self.pid()), "admin.ledger.listener"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return int(found.stdout)

    def pid(self) -> int:
        """Return the ledger's pid, as the machine sees it."""
        task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int(task.read_text().split()[0])

    def is_ready(self) -> bool:
        """Whether the listener's marks stand."""
        return not any("listener" in one or "answer" in one for one in self.unseen())


def _await(seam: Seam, line: bytes) -> None:
    """Read until a line comes."""
    while seam.line() != line:
        continue


@contextmanager
def ledgered(box: Box, *options: str) -> Iterator[Ledgered]:
    """Start a ledger in the box, wait until it is ready, and end it."""
    if not box.on_host("sh", "-c", "test -d /run/writable && echo yes"):
        done = box.run(["nsenter", "-t", str(box.host), "-a", "--", "sh", "-c", WRITABLE])
        assert done.returncode == 0, done.stderr
    argv = [PYTHON, "-I", "-m", "admin.ledger", SOCKET, RECORDS, *options]
    process = subprocess.Popen([*in_box(box), *argv], stdin=subprocess.DEVNULL)
    one = Ledgered(box, process)
    try:
        wait_for(one.is_ready, SECONDS)
        yield one
    finally:
        subprocess.run(["kill", "-KILL", str(one.pid())], check=True)
        process.wait(SECONDS)
        box.run(box.argv("rm", "-rf", RECORDS, SOCKET))
