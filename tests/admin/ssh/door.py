"""A door for tests: a real monitor on a free port, and the real ssh client to knock with."""

import asyncio
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from admin.ssh.client import MonitorLink
from admin.ssh.control import Configure, Event, Ready

USER = "root"


def make_key(directory: Path, name: str, kind: str = "ed25519") -> tuple[Path, str]:
    """Make a key and return (identity file, public line)."""
    path = directory / name
    argv = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", name, "-f", str(path)]
    subprocess.run(argv, check=True)
    return path, path.with_suffix(".pub").read_text().strip()


@dataclass
class Finished:
    """What a client's run gave."""

    code: int
    out: bytes
    err: bytes


@dataclass
class Door:
    """A running monitor and what it said of itself."""

    directory: Path
    identity: Path
    key: str
    events: list[Event] = field(default_factory=list)
    happened: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self) -> None:
        """Start the monitor and let `key` in."""
        self.link = MonitorLink(self._hear)
        self.ready: Ready = await self.configure(self.key)
        self.host, self.port = self.ready.listen[0]
        known = self.directory / "known_hosts"
        known.write_text(f"[{self.host}]:{self.port} {self.ready.host_keys[0]}\n")

    def _hear(self, event: Event) -> None:
        self.events.append(event)
        self.happened.set()

    async def configure(self, *keys: str, **others: Any) -> Ready:
        """Let exactly `keys` in; `others` are fields of Configure."""
        where = str(self.directory / "etc/ssh")
        return await self.link.configure(
            Configure(USER, list(keys), [("127.0.0.1", 0)], where, **others)
        )

    async def wait_for(self, what: str, detail: str = "") -> Event:
        """Wait until an event of this kind was heard, with `detail` in its detail."""
        async with asyncio.timeout(20):
            while True:
                for event in self.events:
                    if event.what == what and detail in event.detail:
                        return event
                self.happened.clear()
                await self.happened.wait()

    def argv(
        self, *command: str, identity: Path | None = None, options: Sequence[str] = ()
    ) -> list[str]:
        """Return the argv of an ssh client that trusts exactly this door."""
        fixed = (
            "BatchMode=yes", "IdentitiesOnly=yes", "LogLevel=ERROR", "StrictHostKeyChecking=yes",
            f"UserKnownHostsFile={self.directory}/known_hosts", "GlobalKnownHostsFile=/dev/null",
        )  # fmt: skip
        settings = [part for one in fixed for part in ("-o", one)]
        key = ["-F", "none", "-i", str(identity or self.identity)]
        where = ["-p", str(self.port), f"{USER}@{self.host}"]
        return ["ssh", *key, *settings, *options, *where, *command]

    async def ssh(
        self,
        *command: str,
        stdin: bytes = b"",
        identity: Path | None = None,
        options: Sequence[str] = (),
    ) -> Finished:
        """Run a command through the door."""
        argv = self.argv(*command, identity=identity, options=options)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, stderr=pipe)
        async with asyncio.timeout(60):
            out, err = await process.communicate(stdin)
        assert process.returncode is not None
        return Finished(process.returncode, out, err)
