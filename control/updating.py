"""The host's own image: how its update stands, applying one, and going back."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import msgspec

from contract.apiclient import updating
from contract.apiclient.client import HostApi
from contract.apiclient.failure import status_of
from contract.errors import ConflictError, FailedError, NotFoundError, SheltieError
from contract.update import UpdateState, UpdateStatus
from contract.updatereport import REPORT_URI, ROLLBACK_URI, SetAside, UpdateReport

__all__ = [
    "Applied",
    "Standing",
    "applied",
    "applied_document",
    "apply",
    "document",
    "rollback",
    "rows",
    "standing",
]

REBOOT_URI: Final = "/actions/reboot"
NOT_FOUND: Final = 404
ROLLBACK_SECONDS: Final = 120.0

Row = tuple[str, str]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands; `report` is None on a stock host, `status` where nothing was ordered yet."""

    status: UpdateStatus | None
    report: UpdateReport | None

    def set_aside(self, version: str) -> SetAside | None:
        """Return why a version was set aside, where it was."""
        found = self.report.set_aside if self.report else []
        return next((one for one in found if one.version == version), None)


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of it: the version that boots next, and whether the reboot was ordered."""

    running: str
    next: str
    rebooting: bool = False


def standing(api: HostApi) -> Standing:
    """Ask the host. Raises SheltieError."""
    report = _or_none(api, REPORT_URI)
    if report is not None:
        found = _convert(report, UpdateReport)
        return Standing(found.status, found)
    status = _or_none(api, updating.STATUS)
    return Standing(None if status is None else _convert(status, UpdateStatus), None)


def apply(api: HostApi, *, reboot: bool = False, again: bool = False) -> Applied:
    """Refresh, prepare, activate, as far as there is something to do.

    Raises ConflictError (UPDATE_SET_ASIDE) for a version that failed before, unless `again`.
    """
    status = _convert(updating.order(api, updating.REFRESH), UpdateStatus)
    chosen = status.chosen_update
    if chosen is not None and status.update_state is not UpdateState.READY:
        former = standing(api).set_aside(chosen.version)
        if former is not None and not again:
            raise ConflictError(
                f"version {former.version} was set aside: {former.why}",
                hint="--again tries it once more",
                code="UPDATE_SET_ASIDE",
            )
        staged = status.staging_partition
        if staged is None or staged.image != chosen:
            updating.order(api, updating.PREPARE)
        status = _convert(updating.order(api, updating.ACTIVATE), UpdateStatus)
    active, staged = status.active_partition, status.staging_partition
    running = active.image.version if active else ""
    following = staged.image.version if staged and staged.next_to_boot else running
    return _finish(api, Applied(running, following), reboot=reboot)


def rollback(api: HostApi, *, reboot: bool = False) -> Applied:
    """Let the next boot be into what ran before. Raises NotFoundError, ConflictError."""
    if _or_none(api, REPORT_URI) is None:
        raise NotFoundError(
            "this host's API knows no rollback",
            hint="on a stock host: sheltie signpost rollback-to-inactive",
            code="UPDATE_NO_ROLLBACK",
        )
    body = api.call("POST", ROLLBACK_URI, seconds=ROLLBACK_SECONDS)
    report = _convert(msgspec.json.decode(body), UpdateReport)
    return _finish(api, Applied(report.running.version, report.next), reboot=reboot)


def document(found: Standing) -> dict[str, Any]:
    """Return what `--json` prints."""
    if found.report is not None:
        report: dict[str, Any] = msgspec.to_builtins(found.report)
        return report
    return {"status": msgspec.to_builtins(found.status)}


def rows(found: Standing) -> Iterator[Row]:
    """Yield what `update status` says."""
    if found.report is not None:
        yield from _reported(found.report)
    status = found.status
    if status is None:
        yield "update", "nobody has looked yet: control update apply"
        return
    if found.report is None and status.active_partition is not None:
        yield "runs", status.active_partition.image.version
    chosen = status.chosen_update
    yield "update", status.update_state + (f": {chosen.version}" if chosen else "")
    if last := status.most_recent_command:
        yield "last", f"{last.cmd_type} {last.cmd_status} {last.timestamp}"
        if last.stderr:
            yield "problem", last.stderr


def applied(found: Applied) -> Iterator[Row]:
    """Yield what `apply` and `rollback` say."""
    yield "runs", found.running
    if found.next == found.running:
        yield "next", f"{found.next}: nothing else is on offer"
        return
    yield "next", found.next
    yield "reboot", "ordered" if found.rebooting else "not yet: apiclient reboot"


def applied_document(found: Applied) -> dict[str, Any]:
    """Return what `--json` prints for them."""
    return {"running": found.running, "next": found.next, "rebooting": found.rebooting}


def _reported(report: UpdateReport) -> Iterator[Row]:
    trial = "" if report.proven else ", on trial: its health is not known yet"
    yield "runs", f"{report.running.version}{trial}"
    if report.next != report.running.version:
        yield "next", f"{report.next}, at the next boot"
    if report.prepared:
        yield "prepared", report.prepared
    if report.previous and report.previous != report.next:
        yield "previous", f"{report.previous}: control update rollback"
    for one in report.set_aside:
        word = "note" if one.requested else "problem"
        what = "was set aside" if one.requested else "FAILED"
        yield word, f"{one.version} {what}: {one.why}"
    if wait := report.reboot:
        yield "reboot", f"waits for {wait.sessions} in admin, until {wait.until} at the latest"
    if working := report.working:
        far = f", {working.file}, {working.done} of {working.total} bytes" if working.total else ""
        yield "working", f"{working.command}{far}"


def _finish(api: HostApi, found: Applied, *, reboot: bool) -> Applied:
    if not reboot or found.next == found.running:
        return found
    api.call("POST", REBOOT_URI)
    return replace(found, rebooting=True)


def _or_none(api: HostApi, uri: str) -> Any:
    try:
        return api.read(uri)
    except SheltieError as error:
        if status_of(error) == NOT_FOUND:
            return None
        raise


def _convert(value: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise FailedError(
            f"the host's answer about updates cannot be understood: {error}",
            hint="host and control image are of different releases",
            code="UPDATE_ANSWER",
        ) from error
