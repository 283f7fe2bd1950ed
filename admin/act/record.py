"""Who acts, and what came of it, told to admin's audit: before it is begun, and after."""

import re
import socket
from dataclasses import dataclass
from pathlib import Path

from admin import audit
from admin.act.plan import Plan
from admin.keeper import client, place
from contract import peer
from contract.errors import SheltieError
from contract.event import Acted, ActStarted, Login, Who, cut

__all__ = ["Actor", "find"]

UNSET = 0xFFFFFFFF
"""The login uid of whoever never logged in (proc(5))."""
_SESSION = re.compile(r"/session-([0-9a-f]{8})(?:/|$)")
"""As `admin.end.marks` names a session's cgroup."""


@dataclass(frozen=True)
class Actor:
    """This process, the session that it belongs to, and whose that is, as far as known."""

    who: Who
    session: str = ""
    login: Login | None = None

    def begins(self, plan: Plan) -> None:
        """Tell that it begins. Raises MachineError (AUDIT_UNWRITABLE): then it must not."""
        audit.note(ActStarted(self.who, plan.name, dict(plan.values), self.session, self.login))

    def did(self, plan: Plan, result: str) -> None:
        """Tell what came of it. Raises MachineError (AUDIT_UNWRITABLE)."""
        event = Acted(self.who, plan.name, dict(plan.values), cut(result), self.session, self.login)
        audit.note(event)


def find() -> Actor:
    """Return who we are: the kernel's word for the process, the keeper's for the session."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        us = peer.of(ours)
    uid = _login_uid()
    who = Who("act", us.uid if uid is None else uid, us.gid, us.pid, started=us.started,
              cgroup_id=us.cgroup_id, cgroup=cut(us.cgroup))  # fmt: skip
    found = _SESSION.search(us.cgroup)
    if found is None:
        return Actor(who)
    return Actor(who, found[1], _login(found[1]))


def _login(session: str) -> Login | None:
    try:
        sessions = client.ask_status(place.socket_path(None)).sessions
    except SheltieError:
        return None  # the audit's own `session.started` tells it as well
    for one in sessions:
        if one.id == session:
            return Login(one.user, one.peer, one.key, one.access)
    return None


def _login_uid() -> int | None:
    """Return the uid that logged in, whatever sudo made of it since."""
    try:
        uid = int(Path("/proc/self/loginuid").read_text())
    except (OSError, ValueError):
        return None
    return None if uid == UNSET or uid < 0 else uid
