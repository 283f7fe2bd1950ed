"""Waiting for admin: until its SSH server answers, until a command runs in it, until it is gone."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from contract.errors import FailedError, SheltieError, TimedOutError, UnavailableError
from contract.rpc import KEYS_MAX
from contract.status import ContainerState, ContainerStatus
from control.admin import Admin, Answer
from control.host import ADMIN, Host

__all__ = ["SECONDS", "Wait"]

SECONDS: Final = 120.0
"""How long enabling waits unless the command line says otherwise; upstream gives up after 60."""
FIRST_SECONDS: Final = 0.05
LAST_SECONDS: Final = 1.0
SLOW_SECONDS: Final = 10.0
"""Between two looks: doubled each time. Each look starts a process in the container."""


@dataclass
class Wait:
    """Looks again and again, for `seconds` at most; `tell` hears what is being waited for."""

    host: Host
    admin: Admin
    seconds: float = SECONDS
    tell: Callable[[str], None] = field(default=lambda _words: None)

    def until_open(self, wanted: frozenset[str]) -> Answer:
        """Wait until the SSH server answers and knows the keys of the fingerprints `wanted`.

        Raises TimedOutError (ADMIN_NOT_READY), FailedError (ADMIN_FAILED), SheltieError.
        """
        found: list[Answer] = []

        def look() -> str:
            reason = self._not_running()
            if reason:
                return reason
            try:
                answer = self.admin.ask()
            except SheltieError as error:
                return error.message
            reason = _not_open(answer, wanted)
            if not reason:
                found.append(answer)
            return reason

        self._until(look, "does not answer yet")
        return found[0]

    def until_started(self) -> None:
        """Wait until commands can be run in it. Raises as until_open does."""

        def look() -> str:
            reason = self._not_running()
            if not reason and not self.admin.has_started():
                reason = "no command can be run in it yet"
            return reason

        self._until(look, "does not run yet")

    def until_gone(self) -> None:
        """Wait until nothing of it runs any more. Raises TimedOutError (ADMIN_NOT_READY)."""

        def look() -> str:
            container = self._container()
            if self.host.is_stock:
                return "it still runs" if self.admin.has_started() else ""
            gone = container is None or container.state is ContainerState.DISABLED
            return "" if gone or container is None else f"it is {container.state}"

        self._until(look, "does not end")

    def _until(self, look: Callable[[], str], what: str) -> None:
        """Look until there is no reason left to wait."""
        asked = time.monotonic()
        deadline, pause = asked + self.seconds, FIRST_SECONDS
        while reason := _patiently(look):
            self.tell(reason)
            if time.monotonic() + pause > deadline:
                raise TimedOutError(
                    f"the admin container {what} after {self.seconds:g} s: {reason}",
                    hint="its setting stays as it is now; look again with `control status`",
                    code="ADMIN_NOT_READY",
                )
            # On a slow host asking must not take the time of what one waits for.
            time.sleep(max(pause, min(time.monotonic() - asked, SLOW_SECONDS)))
            asked, pause = time.monotonic(), min(2 * pause, LAST_SECONDS)

    def _container(self) -> ContainerStatus | None:
        containers = {one.name: one for one in self.host.status().containers}
        return containers.get(ADMIN)

    def _not_running(self) -> str:
        """Return why admin cannot be asked yet; raise FailedError when waiting is of no use."""
        if self.host.is_stock:
            return ""  # only asking tells
        container = self._container()
        if container is None or not container.enabled:
            raise FailedError(
                "somebody disabled the admin container meanwhile",
                hint="agree with them, then enable it again",
                code="ADMIN_DISABLED",
            )
        if container.state is ContainerState.FAILED:
            raise FailedError(
                f"the admin container cannot be started: {container.reason}",
                hint="the host's owner has to change its settings",
                code="ADMIN_FAILED",
            )
        if container.state is ContainerState.RUNNING:
            return ""
        return container.reason or f"it is {container.state}"


def _patiently(look: Callable[[], str]) -> str:
    """Return why to wait on; a daemon that restarts meanwhile is such a reason."""
    try:
        return look()
    except UnavailableError as error:
        return error.message


def _not_open(answer: Answer, wanted: frozenset[str]) -> str:
    status = answer.status
    if answer.host_keys is None or not status.listen:
        return "; ".join(status.problems) or "its SSH server is starting"
    known = {key.fingerprint for key in status.keys}
    # A status shows so many keys and no more; the one we look for may be behind them.
    if not wanted <= known and len(known) < KEYS_MAX:
        return "its SSH server has not read the new key yet"
    return ""
