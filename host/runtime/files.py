"""Where the files of one container lie: what must last in STATE, what ends with a boot in RUN."""

from dataclasses import dataclass
from pathlib import Path

from contract.durable import ensure_directory

__all__ = ["Files"]


@dataclass(frozen=True, slots=True)
class Files:
    """The files of container `name`. RUN is short by rule: sockets lie there."""

    state: Path
    run: Path
    name: str

    @property
    def home(self) -> Path:
        """Everything of the container that is the daemon's own."""
        return self.state / "containers" / self.name

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
        """The directory that the container keeps."""
        return self.state / "host-containers" / self.name

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
        for parent in (self.state / "containers", self.state / "host-containers"):
            ensure_directory(parent)
        for path in (self.home, self.bundle, self.exits, self.scratch, self.persistent):
            ensure_directory(path)
        if not self.api.is_dir():
            ensure_directory(self.api, 0o711)
