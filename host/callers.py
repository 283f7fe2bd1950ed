"""The callers' table: who may do what over the API. Pure; the socket a call came by is the caller.

    caller          reads       writes                                       exec into
    host            everything  everything; reboots, updates and stops       every container
    control         redacted    admin: enabled, plain keys in user-data;     itself, admin while on
                                reboots and updates
    admin           redacted    admin: enabled=false                         nothing
    any other       redacted    nothing                                      nothing

    caller          containers, metrics   logs of         audit, generations   delete, restore
    host            yes                   all             yes                  yes
    control         yes                   itself, admin   no                   no
    admin           yes                   itself          no                   no
    any other       no                    none            no                   no

The socket alone gives the rights; SO_PEERCRED only adds who used them (DESIGN: the socket is the
identity). A refusal is a RefusedError of one line that says what is not allowed.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from contract.errors import RefusedError, UsageError
from contract.userdata import plain_keys

__all__ = [
    "ADMIN",
    "ADMIN_ENABLED",
    "ADMIN_USER_DATA",
    "HOST",
    "Caller",
    "check_act",
    "check_apply",
    "check_audit",
    "check_changes",
    "check_delete",
    "check_exec",
    "check_generations",
    "check_logs",
    "check_name",
    "check_operate",
    "check_restore",
    "check_touch",
    "check_watch",
    "check_write",
]

ADMIN: Final = "admin"
CONTROL: Final = "control"
ADMIN_ENABLED: Final = "settings.host-containers.admin.enabled"
ADMIN_USER_DATA: Final = "settings.host-containers.admin.user-data"

_WRITABLE: Final[dict[str, frozenset[str]]] = {
    CONTROL: frozenset({ADMIN_ENABLED, ADMIN_USER_DATA}),
    ADMIN: frozenset({ADMIN_ENABLED}),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever uses a socket: container `container`, or the host where that is None."""

    container: str | None = None

    @property
    def label(self) -> str:
        """One word for logs, for status, and for the caller's own transactions."""
        return "host" if self.container is None else self.container

    @property
    def is_host(self) -> bool:
        """Whether this is the host's owner."""
        return self.container is None

    def __str__(self) -> str:
        return "the host" if self.container is None else f"container '{self.container}'"


HOST: Final = Caller()


def check_name(name: str) -> None:
    """Refuse a container name that would pass for another caller (UsageError)."""
    if name == HOST.label:
        why = f"'{name}' is reserved and names no container - at `$.host-containers`"
        raise UsageError(f"Json deserialize error: {why}", code="SETTINGS_INVALID")


def check_changes(caller: Caller) -> None:
    """Refuse callers that may change nothing at all."""
    if caller.container is not None and caller.container not in _WRITABLE:
        raise _refused(f"{caller} may only read")


def check_act(caller: Caller, what: str) -> None:
    """Refuse everybody but the host's owner to do `what` with the host itself."""
    if not caller.is_host:
        raise _refused(f"{caller} may not {what}")


def check_operate(caller: Caller, what: str) -> None:
    """Refuse everybody but the host's owner and control to update and reboot the host.

    Control adds nothing to what it holds by that: whoever may enable admin is root. And nothing
    comes in by it but what the image's own key has signed.
    """
    if caller.container not in {None, CONTROL}:
        raise _refused(f"{caller} may not {what}")


def check_write(caller: Caller, values: Mapping[str, Any]) -> None:
    """Refuse a write of {dotted name: value} that goes beyond the table."""
    check_changes(caller)
    if caller.container is None:
        return
    if None in values.values():
        check_delete(caller)
    for name, value in values.items():
        if name not in _WRITABLE[caller.container]:
            raise _refused(f"{caller} may not set {name}")
        if caller.container == ADMIN and value is not False:
            raise _refused(f"{caller} may not set {name} to anything but false")
        if name == ADMIN_USER_DATA:
            plain_keys(base64.b64decode(value, validate=True))


def check_apply(caller: Caller, names: Iterable[str] | None) -> None:
    """Refuse to apply more than the caller may write; `names` None stands for everything."""
    check_changes(caller)
    if caller.container is None:
        return
    if names is None:
        raise _refused(f"{caller} may not apply everything: name the keys")
    for name in names:
        if name not in _WRITABLE[caller.container]:
            raise _refused(f"{caller} may not apply {name}")


def check_exec(caller: Caller, target: str | None, *, admin_enabled: bool) -> None:
    """Refuse an exec into `target`; with None, refuse those who may exec into nothing."""
    if caller.is_host:
        return
    if caller.container != CONTROL:
        raise _refused(f"{caller} may not exec")
    if target not in {None, CONTROL, ADMIN}:
        raise _refused(f"{caller} may not exec into {target!r}")
    if target == ADMIN and not admin_enabled:
        raise _refused(f"{caller} may not exec into 'admin' while it is disabled")


def check_watch(caller: Caller) -> None:
    """Refuse to show containers and metrics to callers that have nothing to do with them."""
    if caller.container not in {None, CONTROL, ADMIN}:
        raise _refused(f"{caller} may not read the state of containers")


def check_logs(caller: Caller, name: str) -> None:
    """Refuse the log of container `name`."""
    if caller.is_host or (caller.container in {CONTROL, ADMIN} and caller.container == name):
        return
    if (caller.container, name) != (CONTROL, ADMIN):
        raise _refused(f"{caller} may not read the log of {name!r}")


def check_audit(caller: Caller) -> None:
    """Refuse the audit: it tells of every caller, and of commands with their arguments."""
    if not caller.is_host:
        raise _refused(f"{caller} may not read the audit")


def check_generations(caller: Caller) -> None:
    """Refuse to show generations: the owner's settings as the owner set them, secrets too."""
    if not caller.is_host:
        raise _refused(f"{caller} may not read generations of the settings")


def check_restore(caller: Caller) -> None:
    """Refuse to bring back a generation."""
    if not caller.is_host:
        raise _refused(f"{caller} may not restore a generation of the settings")


def check_touch(caller: Caller) -> None:
    """Refuse everybody but admin and the owner to say that somebody may be root."""
    if caller.container not in {None, ADMIN}:
        raise _refused(f"{caller} may not mark the host as touched")


def check_delete(caller: Caller) -> None:
    """Refuse to delete settings."""
    if not caller.is_host:
        raise _refused(f"{caller} may not delete settings")


def _refused(why: str) -> RefusedError:
    return RefusedError(why, code="CALLER_REFUSED")
