"""A shell in admin without SSH: enable it, wait until a command runs, and be in it."""

from collections.abc import Callable, Sequence

from contract.keyline import KeyLine
from control.admin import Admin
from control.host import ADMIN, Effect, Host
from control.interrupt import InterruptedByUserError
from control.waiting import Wait

__all__ = ["enter", "prepare"]


def prepare(
    host: Host,
    admin: Admin,
    keys: Sequence[KeyLine],
    *,
    seconds: float,
    tell: Callable[[str], None],
) -> Effect:
    """Enable admin and wait until commands run in it. Raises SheltieError."""
    effect = host.enable(keys)
    try:
        Wait(host, admin, seconds, tell).until_started()
    except KeyboardInterrupt as error:
        raise InterruptedByUserError(
            "nobody waits any longer, and the admin container stays enabled",
            hint="disable-admin-container shuts it again",
        ) from error
    return effect


def enter(path: str) -> int:
    """Run a shell in admin on this terminal; return its exit status. Raises SheltieError."""
    from contract.apiclient.attach import attach

    return attach(path, ADMIN, [b"bash"])
