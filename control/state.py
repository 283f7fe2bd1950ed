"""How everything stands: the host's word and, where admin is enabled, admin's own."""

from dataclasses import dataclass
from typing import Any

import msgspec

from contract.errors import SheltieError
from contract.rpc import AdminStatus
from contract.status import ContainerState, ContainerStatus, HostStatus
from control.admin import Admin
from control.host import ADMIN, Host

__all__ = ["State", "document", "gather"]


@dataclass(frozen=True, slots=True)
class State:
    """`admin` is None where it is disabled or does not answer; `silence` says why it does not."""

    is_stock: bool
    host: HostStatus
    admin: AdminStatus | None = None
    silence: str = ""

    @property
    def problems(self) -> tuple[str, ...]:
        """Sentences about what is wrong, the host's first."""
        own = (self.silence,) if self.silence else ()
        inside = self.admin.problems if self.admin else []
        return tuple(dict.fromkeys((*self.host.problems, *own, *inside)))


def gather(host: Host, admin: Admin) -> State:
    """Ask the host, and admin where it is enabled. Raises SheltieError when the host is silent."""
    status = host.status()
    if not status.door.open:
        return State(host.is_stock, status)
    try:
        answer = admin.ask()
    except SheltieError as error:
        return State(host.is_stock, status, silence=error.message)
    if host.is_stock:  # that it answered is how we know that it runs
        containers = [_seen(one) for one in status.containers]
        status = msgspec.structs.replace(status, containers=containers)
    return State(host.is_stock, status, answer.status)


def document(state: State) -> dict[str, Any]:
    """Return what `--json` prints."""
    found: dict[str, Any] = msgspec.to_builtins(state.host)
    return {
        **found,
        "stock": state.is_stock,
        "lease": None,
        "admin": msgspec.to_builtins(state.admin),
        "problems": list(state.problems),
    }


def _seen(container: ContainerStatus) -> ContainerStatus:
    if container.name != ADMIN:
        return container
    return msgspec.structs.replace(container, state=ContainerState.RUNNING)
