"""The tree of errors that people see: one line, a stable code, an exit status, an HTTP status.

    SheltieError
    ├── UsageError          2   400   the request itself is wrong
    ├── RefusedError        3   403   the callers' table says no
    ├── NotFoundError       4   404   a named thing is not there
    ├── ConflictError       5   409   the thing is in another state, or somebody else holds it
    ├── MachineError        6   500   root, a program, a kernel feature or room is lacking
    ├── UnavailableError    7   503   the other side does not answer
    ├── TimedOutError       8   504   it did not happen in time
    └── FailedError         1   500   it was tried and failed

Exit status 1 is the general failure; 2 is what argparse and typer use for a wrong command line.
Codes are part of the interface: `docs/errors.md` lists every one, and a test compares.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's constant without its import: sheltie has no 8 ms to spare
if TYPE_CHECKING:
    from typing import ClassVar

__all__ = [
    "ConflictError",
    "FailedError",
    "MachineError",
    "NotFoundError",
    "RefusedError",
    "SheltieError",
    "TimedOutError",
    "UnavailableError",
    "UsageError",
]


class SheltieError(Exception):
    """An error with one line for people: what is wrong with which thing, and the next step."""

    kind: ClassVar[str] = "FAILED"
    exit_status: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or self.kind

    def line(self) -> str:
        """Return the one line that a person reads on stderr, without a newline."""
        hint = f"; {self.hint}" if self.hint else ""
        return " ".join(f"{self.message}{hint} [{self.code}]".split())


class UsageError(SheltieError):
    """The request itself is wrong: bad arguments, bad JSON, an unknown key."""

    kind = "USAGE"
    exit_status = 2
    http_status = 400


class RefusedError(SheltieError):
    """The callers' table does not allow this caller to do this."""

    kind = "REFUSED"
    exit_status = 3
    http_status = 403


class NotFoundError(SheltieError):
    """A named thing is not there."""

    kind = "NOT_FOUND"
    exit_status = 4
    http_status = 404


class ConflictError(SheltieError):
    """The thing is in another state than the request needs, or somebody else holds it."""

    kind = "CONFLICT"
    exit_status = 5
    http_status = 409


class MachineError(SheltieError):
    """This machine lacks something: root, a program, a kernel feature, room on disk."""

    kind = "MACHINE"
    exit_status = 6


class UnavailableError(SheltieError):
    """The other side does not answer."""

    kind = "UNAVAILABLE"
    exit_status = 7
    http_status = 503


class TimedOutError(SheltieError):
    """It did not happen in time."""

    kind = "TIMED_OUT"
    exit_status = 8
    http_status = 504


class FailedError(SheltieError):
    """It was tried and failed."""
