"""Ctrl-C as an error that says how things stand."""

from typing import ClassVar

from contract.errors import SheltieError

__all__ = ["InterruptedByUserError"]


class InterruptedByUserError(SheltieError):
    """Somebody pressed Ctrl-C; the message says what stays."""

    kind: ClassVar[str] = "INTERRUPTED"
    exit_status: ClassVar[int] = 130
