"""What the settings ask for, as the supervisor wants to know it, and the seam between the two.

The API side turns settings into Desired values; the supervisor makes the host be like them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from contract.execwire import Size
from contract.status import ContainerStatus

__all__ = ["Containers", "Desired", "ExecProcess"]


@dataclass(frozen=True, slots=True)
class Desired:
    """One host container as the settings want it.

    `user_data` holds the effective bytes (owner's and handed-over keys merged); None leaves the
    container's file as it is, as upstream does. It is no part of what makes a container restart.
    `environment` comes on top of the image's; `certificates` are PEM that this host trusts besides.
    `written` counts writes where each of them restarts the container (a stock host); else it is 0.
    """

    name: str
    enabled: bool = False
    source: str | None = None
    superpowered: bool = False
    command: tuple[str, ...] = ()
    user_data: bytes | None = field(default=None, repr=False)
    environment: tuple[tuple[str, str], ...] = ()
    certificates: bytes = field(default=b"", repr=False)
    written: int = 0


class ExecProcess(Protocol):
    """A process started in a running container by /exec."""

    input: int
    """Descriptor to write to (the pty's master with a terminal); -1 once closed."""
    output: int
    """Descriptor to read from: stdout and stderr merged (the same master with a terminal)."""

    def close_input(self) -> None:
        """End the process's input; nothing happens with a terminal."""

    def resize(self, size: Size) -> None:
        """Give the terminal a new size; nothing happens without one."""

    async def wait(self) -> int:
        """Return the exit status, 128+n for signal n."""

    async def end(self) -> None:
        """End the process inside the container and close both descriptors; idempotent."""


class Containers(Protocol):
    """What the API needs of the supervisor.

    `problems` are sentences about what containers have to do without on this host.
    """

    problems: Sequence[str]

    async def apply(self, desired: Mapping[str, Desired]) -> None:
        """Take note of what is wanted and return at once; the work goes on by itself."""

    def status(self) -> Sequence[ContainerStatus]:
        """Return the state of every container that was ever wanted, by name."""

    async def settled(self, names: Iterable[str]) -> None:
        """Return once all that can be done now for these is done, or waits for its time."""

    async def exec(self, name: str, command: Sequence[bytes], *, size: Size | None) -> ExecProcess:
        """Start `command` in the running container `name`; with a terminal where `size` is given.

        Raises NotFoundError (CONTAINER_NOT_RUNNING), FailedError (EXEC_FAILED).
        """
