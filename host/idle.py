"""Containers on a machine that runs none: what they would be is said, and nothing is started."""

from collections.abc import Iterable, Mapping, Sequence

from contract.errors import NotFoundError
from contract.execwire import Size
from contract.status import ContainerState, ContainerStatus
from host.desired import Desired, ExecProcess
from host.store.transactions import utc_now

__all__ = ["IdleContainers"]


class IdleContainers:
    """Containers that only takes note; `reason` is the sentence that status gives."""

    def __init__(self, reason: str) -> None:
        self.problems: Sequence[str] = (reason,)
        self._reason = reason
        self._since = utc_now()
        self._desired: Mapping[str, Desired] = {}

    async def start(self) -> None:
        """Nothing is there to adopt."""

    async def stop_all(self) -> None:
        """Nothing is there to stop."""

    async def close(self) -> None:
        """Nothing is held."""

    async def apply(self, desired: Mapping[str, Desired]) -> None:
        """Take note."""
        self._desired = dict(desired)

    def status(self) -> Sequence[ContainerStatus]:
        """Return every container: failed where it is wanted."""
        return [self._status(desired) for _, desired in sorted(self._desired.items())]

    async def settled(self, names: Iterable[str]) -> None:
        """Nothing is under way."""

    async def exec(self, name: str, command: Sequence[bytes], *, size: Size | None) -> ExecProcess:
        """Raise NotFoundError (CONTAINER_NOT_RUNNING)."""
        del command, size
        raise NotFoundError(
            f"container '{name}' is not running", hint=self._reason, code="CONTAINER_NOT_RUNNING"
        )

    def _status(self, desired: Desired) -> ContainerStatus:
        return ContainerStatus(
            name=desired.name,
            enabled=desired.enabled,
            state=ContainerState.FAILED if desired.enabled else ContainerState.DISABLED,
            since=self._since,
            superpowered=desired.superpowered,
            image=desired.source or "",
            reason=self._reason if desired.enabled else "",
        )
