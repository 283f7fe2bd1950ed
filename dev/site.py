"""Where a running host keeps its files: one directory, `.sheltie/` in the clone by default."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from contract.durable import ensure_directory
from contract.places import RUN

__all__ = ["CLONE", "PYTHON", "Site", "cache"]

CLONE = Path(__file__).resolve().parent.parent
"""The clone that this file lies in."""
PYTHON = sys.executable
"""The interpreter of the virtual environment, as an absolute path."""


def cache() -> Path:
    """Return the directory for what is slow to build (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    return root / "sheltie"


@dataclass(frozen=True, slots=True)
class Site:
    """The files of one running host below `root`."""

    root: Path

    @property
    def state(self) -> Path:
        """The daemon's state directory."""
        return self.root / "state"

    @property
    def record(self) -> Path:
        """What `dev.standin` remembers of the stand-in."""
        return self.root / "standin.json"

    @property
    def daemon(self) -> Path:
        """The daemon's pid and start time."""
        return self.root / "daemon.json"

    @property
    def log(self) -> Path:
        """The daemon's log."""
        return self.root / "hostd.log"

    @property
    def up(self) -> Path:
        """What programs need of a running host."""
        return self.root / "up.json"

    @property
    def identity(self) -> Path:
        """The SSH key that is made for this running host."""
        return self.root / "ssh" / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The known_hosts file with admin's host key."""
        return self.root / "ssh" / "known_hosts"

    @property
    def run(self) -> Path:
        """The daemon's run directory, as the host sees it."""
        return Path(RUN)

    def make(self) -> Path:
        """Make the directories, 0700, and return the root."""
        for path in (self.root, self.state, self.identity.parent):
            ensure_directory(path)
        return self.root
