"""admin's real SSH server in the container beside a stand-in host, and logins of both levels."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contract import places
from contract.audit import check
from tests.admin.end.inside import in_box
from tests.admin.sheltie.conftest import PYTHON, Box, made, skip_unless_possible
from tests.admin.ssh.door import make_key

__all__ = ["Access", "access"]

SECONDS = 30
STATE = places.PERSISTENT


@dataclass
class Access:
    """A container in which the keeper serves; `root` is its root as the machine sees it."""

    box: Box
    port: int
    keys: dict[str, str]

    @property
    def root(self) -> Path:
        """The container's root directory."""
        return Path(f"/proc/{self.box.pid}/root")

    def argv(self, who: str, *command: str, options: Sequence[str] = ()) -> list[str]:
        """Return the argv of an ssh client in the container, with the key of `who`."""
        return self.client("ssh", who, ["-p", str(self.port), *options], "root@127.0.0.1", *command)

    def client(self, program: str, who: str, options: Sequence[str], *words: str) -> list[str]:
        """Return the argv of any client of OpenSSH's."""
        settings = ("BatchMode=yes", "IdentitiesOnly=yes", "LogLevel=ERROR",
                    "StrictHostKeyChecking=no", "UserKnownHostsFile=/tmp/known")  # fmt: skip
        fixed = [word for one in settings for word in ("-o", one)]
        key = ["-F", "none", "-i", f"/tmp/keys/{who}"]
        return self.box.argv(program, *key, *fixed, *options, *words)

    def ssh(self, who: str, *command: str, **options: Any) -> "subprocess.CompletedProcess[bytes]":
        """Run a command through the door."""
        return self.box.run(self.argv(who, *command), **options)

    def out(self, who: str, command: str) -> str:
        """Return what a command prints; it must succeed."""
        done = self.ssh(who, command)
        assert done.returncode == 0, done
        return done.stdout.decode()

    def configure(self, **sheltie: Any) -> None:
        """Replace user-data by one that lets `operator` and `ca` in, with this `sheltie` section.

        Returns once it is in force.
        """
        authorized = [self.keys["operator"], self.keys["both"]]
        document = {"ssh": {"authorized-keys": authorized}, "sheltie": sheltie}
        place = self.root / STATE.lstrip("/")
        seen = (place / "log").read_text().count("INFO user-data ") if self.port else 0
        text = json.dumps(document)
        if self.port and (place / "user-data").read_text() == text:
            return
        (place / "new").write_text(text)
        (place / "new").rename(place / "user-data")
        if self.port:
            self.until(lambda text: text.count("INFO user-data ") > seen)

    def until(self, condition: Any) -> str:
        """Wait until the keeper's log fulfils a condition; return the log."""
        log, deadline = self.root / STATE.lstrip("/") / "log", time.monotonic() + SECONDS
        while not condition(text := log.read_text()):
            assert time.monotonic() < deadline, text
            time.sleep(0.02)
        return text

    def audited(self) -> list[dict[str, Any]]:
        """Return the events of admin's audit, which must be whole."""
        import msgspec

        place = self.root / places.ADMIN_AUDIT.lstrip("/")
        assert check.check(place).faults == ()
        return [msgspec.to_builtins(entry.event) for _, entry in check.entries(place)]


@pytest.fixture(scope="module")
def access(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    """A served container."""
    skip_unless_possible()
    with made(tmp_path_factory.mktemp("access")) as box:
        box.run(box.argv("ip", "link", "set", "lo", "up"))
        access = Access(box, 0, {})
        keys = access.root / "tmp/keys"
        keys.mkdir()
        access.keys = {
            name: make_key(keys, name)[1] for name in ("operator", "looker", "both", "stranger")
        }
        place = access.root / STATE.lstrip("/")
        place.mkdir(parents=True)
        access.configure(**{"look-keys": [access.keys["looker"], access.keys["both"]]})
        serve = ["-m", "admin", "serve", "--listen", "127.0.0.1:0", "--no-accounts"]
        argv = [*in_box(box), PYTHON, "-I", *serve]
        with (place / "log").open("wb") as log:
            server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=log, stdout=sys.stderr)
        try:
            ready = re.compile(r"INFO ready listen=127\.0\.0\.1:(\d+)")
            text = access.until(lambda text: ready.search(text) or server.poll() is not None)
            found = ready.search(text)
            assert found, text
            access.port = int(found[1])
            yield access
        finally:
            server.terminate()
            server.wait(SECONDS)
