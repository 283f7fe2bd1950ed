"""The owner's wishes for a look, read from admin's user-data, and a uid for the session."""

from __future__ import annotations

import os

from admin.sheltie import userdata
from contract import places
from contract.errors import MachineError
from contract.looking import Wishes, judge

__all__ = ["draw_uid", "read"]

DRAWS = 64


def read(path: str = places.USER_DATA) -> Wishes:
    """Read admin's user-data. Raises MachineError (LOOK_SETTINGS) where a wish cannot be kept.

    Unlike the keeper, which serves whatever it understands: a look that masked less than its owner
    wished would be none.
    """
    try:
        section = userdata.section(b"look", path)
    except OSError as error:
        raise _bad(f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise _bad("is not JSON") from error
    wishes, problems = judge(section)
    if problems:
        raise _bad(problems[0])
    return wishes


def draw_uid(wishes: Wishes) -> int:
    """Return a uid of the range that no process has. Raises MachineError (LOOK_UID)."""
    size = wishes.last - wishes.first + 1
    for _ in range(DRAWS):
        uid = wishes.first + int.from_bytes(os.urandom(8), "little") % size
        try:
            os.getpriority(os.PRIO_USER, uid)
        except ProcessLookupError:
            return uid  # the kernel found no process of it (getpriority(2))
    raise MachineError(
        f"no free uid between {wishes.first} and {wishes.last}",
        hint="end old looks, or widen sheltie.look-uids",
        code="LOOK_UID",
    )


def _bad(what: str) -> MachineError:
    return MachineError(f"admin's user-data: {what}", hint="see docs/look.md", code="LOOK_SETTINGS")
