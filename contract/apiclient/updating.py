"""The update verbs, as upstream's client drives them: order, poll until it is done, judge."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from contract.apiclient.client import HostApi
from contract.apiclient.failure import status_of
from contract.apiclient.progress import Progress
from contract.errors import ConflictError, FailedError, SheltieError, TimedOutError

__all__ = ["ACTIVATE", "DEACTIVATE", "PREPARE", "REFRESH", "STATUS", "Verb", "order", "required"]

STATUS: Final = "/updates/status"
REPORT_URI: Final = "/sheltie/v1/updates"
LOCKED: Final = 423
FAILURES_MAX: Final = 5
"""So many answers that are no status end the waiting."""


@dataclass(frozen=True)
class Verb:
    """A command: what it is called, where it is ordered, how often to ask and how long to wait."""

    name: str
    uri: str
    doing: str
    pause: float
    seconds: float


REFRESH: Final = Verb("refresh", "/actions/refresh-updates", "looking for updates", 0.1, 120)
PREPARE: Final = Verb("prepare", "/actions/prepare-update", "fetching the update", 0.5, 3600)
ACTIVATE: Final = Verb("activate", "/actions/activate-update", "activating the update", 0.1, 120)
DEACTIVATE: Final = Verb(
    "deactivate", "/actions/deactivate-update", "deactivating the update", 0.1, 120
)


def order(api: HostApi, verb: Verb) -> dict[str, Any]:
    """Order a command and return the update status once it has succeeded.

    Raises the SheltieError of a refusal, TimedOutError, FailedError (UPDATE_FAILED).
    """
    before = _before(api)
    api.call("POST", verb.uri)
    status = _wait(api, verb, before)
    result = status["most_recent_command"]
    if result.get("cmd_status") != "Success":
        said = result.get("stderr") or f"exit status {result.get('exit_status')}"
        raise FailedError(f"{verb.name} failed: {said}", code="UPDATE_FAILED")
    return status


def required(status: dict[str, Any]) -> bool:
    """Whether there is something to apply: none is known in Idle, and all is done in Ready."""
    return status.get("update_state") not in {"Idle", "Ready"}


def _before(api: HostApi) -> str | None:
    try:
        return _stamp(api.read(STATUS))
    except SheltieError as error:
        if status_of(error) is None:
            raise
        return None  # there is none yet, or the order itself will be refused in better words


def _wait(api: HostApi, verb: Verb, before: str | None) -> dict[str, Any]:
    deadline, failures = time.monotonic() + verb.seconds, 0
    with Progress(verb.doing) as progress:
        while time.monotonic() < deadline:
            time.sleep(verb.pause)
            try:
                status = api.read(STATUS)
            except SheltieError as error:
                is_locked = status_of(error) == LOCKED
                progress.tick(partial(_far, api))
                failures += not is_locked
                if failures >= FAILURES_MAX:
                    raise
                continue
            if _is_done(status, verb, before):
                return dict(status)
    raise TimedOutError(
        f"{verb.name} was not done in {verb.seconds:g} s",
        hint="`apiclient raw -u /updates/status` says how it stands",
        code="UPDATE_TIMED_OUT",
    )


def _far(api: HostApi) -> str:
    """Return how far a command is, from a host that tells."""
    try:
        working = api.read(REPORT_URI).get("working") or {}
    except SheltieError:  # a stock host
        return ""
    done, total = working.get("done", 0), working.get("total", 0)
    return f"{working.get('file', '')} {done / total:.0%}" if total else ""


def _is_done(status: Any, verb: Verb, before: str | None) -> bool:
    stamp = _stamp(status)
    if stamp is None or stamp == before:
        return False
    did = status["most_recent_command"].get("cmd_type")
    if did != verb.name:
        raise ConflictError(
            f"somebody else ordered {did} meanwhile", hint="try again", code="UPDATE_OVERTAKEN"
        )
    return True


def _stamp(status: Any) -> str | None:
    result = status.get("most_recent_command") if isinstance(status, dict) else None
    return result.get("timestamp") if isinstance(result, dict) else None
