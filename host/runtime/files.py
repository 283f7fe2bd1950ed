"""Where the files of one container lie: what must last in STATE, what ends with a boot in RUN."""

import errno
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contract.durable import ensure_directory
from contract.errors import SheltieError

__all__ = ["Files"]

_TRIAL_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Files:
    """The files of container `name`. RUN is short by rule: sockets lie there.

    `spare`: STATE cannot be written to, and RUN takes its place until the container ends.
    """

    state: Path
    run: Path
    name: str
    spare: bool = False

    @classmethod
    def of(cls, state: Path, run: Path, name: str) -> "Files":
        """Return the files of a container that may be there already, wherever they lie."""
        spare = cls(state, run, name, spare=True)
        return spare if spare.made.exists() else cls(state, run, name)

    @property
    def home(self) -> Path:
        """Everything of the container that is the daemon's own."""
        return (self.run / "spare" if self.spare else self.state / "containers") / self.name

    @property
    def bundle(self) -> Path:
        """The OCI bundle."""
        return self.home / "bundle"

    @property
    def config(self) -> Path:
        """The OCI configuration."""
        return self.bundle / "config.json"

    @property
    def rootfs(self) -> Path:
        """Where the container's root is mounted."""
        return self.bundle / "rootfs"

    @property
    def log(self) -> Path:
        """What it wrote to stdout and stderr, one line each (k8s-file)."""
        return self.home / "log"

    @property
    def log_held(self) -> Path:
        """Another name of the log that is written to."""
        return self.home / "log.held"

    @property
    def log_before(self) -> Path:
        """The log before its last turn."""
        return self.home / "log.1"

    @property
    def exits(self) -> Path:
        """The directory of the exit file."""
        return self.home / "exit"

    @property
    def exit(self) -> Path:
        """The file with the exit status, written by conmon."""
        return self.exits / self.name

    @property
    def made(self) -> Path:
        """What the running container was made of."""
        return self.home / "state.json"

    @property
    def scratch(self) -> Path:
        """Pid files."""
        return self.run / "containers" / self.name

    @property
    def pid(self) -> Path:
        """The pid of the container's first process."""
        return self.scratch / "pid"

    @property
    def conmon_pid(self) -> Path:
        """The pid of its conmon."""
        return self.scratch / "conmon.pid"

    @property
    def persistent(self) -> Path:
        """The directory that the container keeps; a spare one lies over it, and ends."""
        return self.home / "persistent" if self.spare else self.kept

    @property
    def kept(self) -> Path:
        """The directory that the container really keeps."""
        return self.state / "host-containers" / self.name

    @property
    def certificates(self) -> Path:
        """The directory of the certificates that the host trusts."""
        return self.scratch / "certs"

    @property
    def user_data(self) -> Path:
        """The container's user-data."""
        return self.persistent / "user-data"

    @property
    def api(self) -> Path:
        """The directory of its API socket."""
        return self.run / "api" / self.name

    def make(self) -> None:
        """Make the directories. Raises MachineError."""
        for path in (self.home, self.persistent):
            ensure_directory(path.parent)
            ensure_directory(path)
        for path in (self.bundle, self.exits, self.scratch):
            ensure_directory(path)
        ensure_directory(self.certificates, 0o755)
        if not self.api.is_dir():
            ensure_directory(self.api, 0o711)

    def unwritable(self) -> str:
        """Return why a container cannot have its files here, "" where it can: by trying."""
        try:
            for path in (self.home, self.persistent):
                ensure_directory(path.parent)
                ensure_directory(path)
                trial = path / f".trial-{secrets.token_hex(4)}"
                try:
                    _fill(trial)
                finally:
                    trial.unlink(missing_ok=True)
        except (OSError, SheltieError) as error:
            return str(error)
        return ""


def _fill(path: Path) -> None:
    """Write a file as large as what a start writes; a full disk may show only at fsync."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        written = os.write(descriptor, bytes(_TRIAL_BYTES))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if written != _TRIAL_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
