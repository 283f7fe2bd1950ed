"""The body of `GET /sheltie/v1/updates`: what upstream's status of updates does not tell.

It answers while a command is at work, too. A stock host answers 404 there.
"""

from typing import Final

import msgspec

from contract.update import Command, UpdateImage, UpdateStatus

__all__ = ["REPORT_URI", "ROLLBACK_URI", "SetAside", "UpdateReport", "Waiting", "Working"]

REPORT_URI: Final = "/sheltie/v1/updates"
ROLLBACK_URI: Final = "/sheltie/v1/updates/rollback"


class SetAside(msgspec.Struct, frozen=True, omit_defaults=True):
    """A version that the loader passes over: it failed, or an operator wanted it (`requested`)."""

    version: str
    why: str
    at: str = ""
    requested: bool = False


class Working(msgspec.Struct, frozen=True, omit_defaults=True):
    """The command at work, and how many bytes of how many of a file are there."""

    command: Command
    file: str = ""
    done: int = 0
    total: int = 0


class Waiting(msgspec.Struct, frozen=True):
    """A reboot that waits for who is in admin, until that time (RFC 3339) at the latest."""

    sessions: int
    until: str


class UpdateReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """The whole answer. `proven` is false while the running version is on trial.

    `next` boots next; `previous` is what a rollback goes back to, `prepared` what can be activated;
    each is empty where there is none. `status` is upstream's, absent before the first command.
    """

    running: UpdateImage
    proven: bool
    next: str
    previous: str = ""
    prepared: str = ""
    set_aside: list[SetAside] = []
    working: Working | None = None
    reboot: Waiting | None = None
    status: UpdateStatus | None = None
