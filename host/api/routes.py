"""The table of endpoints, and the one place that turns a request into an answer and a log line.

A method that a path does not know is answered like an unknown path: 404 and no text, as upstream's
router does.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from contract.errors import FailedError, RefusedError, SheltieError
from contract.update import Command
from host.api import about, actions, metadata, settings, transactions, v1
from host.api.message import Call, Response, Stream, failed
from host.audit.calls import who
from host.house import House
from host.logline import event

__all__ = ["EXEC", "answer"]

Handler = Callable[[House, Call], Awaitable[Response | Stream]]

EXEC: Final = ("GET", "/exec")
"""The one endpoint that leaves HTTP behind."""

_MEDIUM_FAILS: Final = frozenset({"STORE_UNUSABLE", "DIRECTORY_UNUSABLE"})

_UPDATES: Final = (
    (Command.REFRESH, "s"),
    (Command.PREPARE, ""),
    (Command.ACTIVATE, ""),
    (Command.DEACTIVATE, ""),
)

_ROUTES: Final[dict[tuple[str, str], Handler]] = {
    ("GET", "/"): about.model,
    ("GET", "/os"): about.os_info,
    ("GET", "/settings"): settings.show,
    ("PATCH", "/settings"): settings.patch,
    ("PATCH", "/settings/keypair"): settings.keypair,
    ("GET", "/tx"): transactions.show,
    ("DELETE", "/tx"): transactions.drop,
    ("GET", "/tx/list"): transactions.names,
    ("POST", "/tx/commit"): transactions.commit,
    ("POST", "/tx/apply"): transactions.apply,
    ("POST", "/tx/commit_and_apply"): transactions.commit_and_apply,
    ("GET", "/services"): metadata.services,
    ("GET", "/configuration-files"): metadata.configuration_files,
    ("GET", "/metadata/affected-services"): metadata.affected_services,
    ("GET", "/metadata/setting-generators"): metadata.setting_generators,
    ("GET", "/metadata/templates"): metadata.templates,
    ("GET", "/report"): metadata.report,
    ("GET", "/updates/status"): actions.update_status,
    **{("POST", f"/actions/{verb}-update{s}"): actions.order(verb) for verb, s in _UPDATES},
    ("POST", "/actions/reboot"): actions.reboot,
}

_log = logging.getLogger("host.api")


async def answer(house: House, call: Call) -> Response | Stream:
    """Answer the call; whatever goes wrong becomes a status and a line.

    What may change something, and what was refused, is in the audit before it is answered.
    """
    handler = _handler(house, call)
    if handler is None:
        return Response(404)
    error: SheltieError | None = None
    response: Response | Stream
    try:
        response = await handler(house, call)
    except SheltieError as why:
        error = why
    except Exception:  # noqa: BLE001  one caller's bad luck must not end the daemon
        # A defect of ours: the log gets the traceback, the caller one line, the daemon lives on.
        _log.exception(event("defect", method=call.method, path=call.path))
        error = FailedError("internal error, see the daemon's log", code="DEFECT")
    if error is not None:
        response = failed(error)
        if house.medium is not None and error.code in _MEDIUM_FAILS:
            house.medium.suspect(error.message)
    if call.method != "GET" or isinstance(error, RefusedError):
        _audit(house, call, response, error)
    if call.method != "GET" and isinstance(response, Response):
        _note(call, response, error.code if error else "-")
    house.answers[call.caller.label, _status(response)] += 1
    return response


def _handler(house: House, call: Call) -> Handler | None:
    known = _ROUTES.get((call.method, call.path))
    if known is None and house.policy.extensions:
        return v1.handler(call.method, call.path)
    return known


def _audit(
    house: House, call: Call, response: Response | Stream, error: SheltieError | None
) -> None:
    whose, tx = who(call.caller, call.peer), call.query.get("tx", "")
    if error is not None:
        house.calls.failed(whose, call.method, call.path, error, tx)
    else:
        house.calls.answered(whose, call.method, call.path, _status(response), tx)


def _status(response: Response | Stream) -> int:
    return response.status if isinstance(response, Response) else 200


def _note(call: Call, response: Response, code: str) -> None:
    """Log a write: who and what, never values (an error's text may repeat one: its code does)."""
    changed = response.body.decode() if response.status == 200 else "-"  # noqa: PLR2004  RFC 9110
    _log.info(
        event(
            "write",
            caller=call.caller.label,
            pid=call.peer.pid or "outside",
            uid=call.peer.uid,
            method=call.method,
            path=call.path,
            tx=call.query.get("tx", "-"),
            status=response.status,
            keys=changed,
            code=code,
        )
    )
