"""Shutting the door: disable admin, and wait until nothing of it runs any more."""

from collections.abc import Callable

from control.admin import Admin
from control.host import Host
from control.interrupt import InterruptedByUserError
from control.waiting import Wait

__all__ = ["SECONDS", "disable"]

SECONDS = 60.0
"""How long disabling waits: the container has 20 s to end by itself, then it is killed."""


def disable(
    host: Host, admin: Admin, *, seconds: float | None, tell: Callable[[str], None]
) -> bool:
    """Disable admin and wait up to `seconds`; None does not wait. False: it was disabled already.

    Raises SheltieError.
    """
    changed = host.disable()
    if changed and seconds is not None:
        try:
            Wait(host, admin, seconds, tell).until_gone()
        except KeyboardInterrupt as error:
            raise InterruptedByUserError(
                "nobody waits any longer, and the admin container is ending",
                hint="control status says when it is gone",
            ) from error
    return changed
