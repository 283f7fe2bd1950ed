"""The OCI runtimes, what is known of each, and how one reaches a container that runs by it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contract.durable import read_file
from contract.errors import SheltieError
from host.runtime import programs
from host.runtime.files import Files

__all__ = ["CRUN", "FACTS", "PODMAN_CRUN", "PODMAN_RUNC", "RUNC", "Facts", "podman_id"]

_ID_MAX: Final = 128


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a runtime.

    `exec_detached`: it copies the streams of an exec itself unless it is detached, so that stdout
    and stderr would lose their order; detached, it needs somebody who learns the exit status.
    `podman`: the program runs under podman, with podman's names and at the program's own place.
    """

    name: str
    program: str
    exec_detached: bool
    podman: bool = False

    def command(self, run: Path) -> list[str]:
        """Return the beginning of the program's line. Raises MachineError (PROGRAM_MISSING)."""
        root = [] if self.podman else ["--root", str(run / self.program)]
        return [programs.find(self.program), *root]

    def id_of(self, files: Files) -> str:
        """Return the program's name of a container."""
        if not self.podman:
            return files.name
        try:
            return read_file(podman_id(files), _ID_MAX).decode().strip()
        except (OSError, ValueError, SheltieError):
            return files.name  # no such container, as the program will say


CRUN: Final = Facts("crun", "crun", exec_detached=False)
RUNC: Final = Facts("runc", "runc", exec_detached=True)
PODMAN_CRUN: Final = Facts("podman/crun", "crun", exec_detached=False, podman=True)
PODMAN_RUNC: Final = Facts("podman/runc", "runc", exec_detached=True, podman=True)
FACTS: Final = {facts.name: facts for facts in (CRUN, RUNC, PODMAN_CRUN, PODMAN_RUNC)}
"""By name, in the order in which `auto` tries them."""


def podman_id(files: Files) -> Path:
    """Return the file with podman's number of a container."""
    return files.scratch / "podman.id"
