"""The callers' table for /sheltie/v1/, cell by cell, over each caller's own socket."""

from collections.abc import Callable
from contextlib import suppress

import pytest

from contract.errors import RefusedError
from host import callers
from host.callers import Caller
from tests.host.api.conftest import CALLERS, Site

ALL = {"host", "control", "admin", "other"}
THREE = {"host", "control", "admin"}
TABLE: list[tuple[str, str, set[str]]] = [
    ("GET", "status", ALL),
    ("GET", "containers", THREE),
    ("GET", "containers/admin", THREE),
    ("GET", "metrics", THREE),
    ("GET", "updates", ALL),
    ("POST", "touched", {"host", "admin"}),
    ("GET", "containers/admin/logs", THREE),
    ("GET", "containers/control/logs", {"host", "control"}),
    ("GET", "containers/other/logs", {"host"}),
    ("GET", "events", {"host"}),
    ("GET", "generations", {"host"}),
    ("GET", "generations/1", {"host"}),
    ("GET", "generations/diff?from=1", {"host"}),
    ("POST", "generations/1/restore", {"host"}),
    ("DELETE", "settings?prefix=settings.", {"host"}),
    ("DELETE", "settings?keys=settings.host-containers.admin.enabled", {"host"}),
    ("POST", "commit_and_apply", THREE),
]


@pytest.mark.parametrize("who", sorted(ALL))
@pytest.mark.parametrize(
    ("method", "path", "may"),
    TABLE,
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value)[:40],
)
async def test_cell(site: Site, who: str, method: str, path: str, may: set[str]) -> None:
    """Whom the table does not name gets 403 and one line, and nothing changes."""
    for name in ("admin", "control", "other"):
        (site.directory / f"{name}.log").write_text("x\n")
    if path == "commit_and_apply" and who in may:
        body = {"host-containers": {"admin": {"enabled": False}}}
        await site.ask("PATCH", "/settings", body, who=who)
    before = site.house.transactions.live
    answer = await site.ask(method, f"/sheltie/v1/{path}", who=who)

    if who in may:
        assert answer.status in {200, 204}
        return
    assert answer.status == 403
    assert answer.text.startswith(f"container '{who}' may ")
    assert "\n" not in answer.text
    assert site.house.transactions.live == before
    assert (await site.ask("GET", "/tx", who=who)).json == {}


PURE: list[tuple[Callable[[Caller], None], set[str]]] = [
    (callers.check_watch, THREE),
    (callers.check_audit, {"host"}),
    (callers.check_generations, {"host"}),
    (callers.check_restore, {"host"}),
    (callers.check_delete, {"host"}),
    (lambda caller: callers.check_operate(caller, "reboot the host"), {"host", "control"}),
    (lambda caller: callers.check_logs(caller, "admin"), THREE),
    (lambda caller: callers.check_logs(caller, "control"), {"host", "control"}),
    (lambda caller: callers.check_logs(caller, "other"), {"host"}),
    (
        lambda caller: callers.check_write(caller, {callers.ADMIN_ENABLED: None}),
        {"host"},
    ),
]


@pytest.mark.parametrize(("check", "may"), PURE, ids=lambda value: None)
def test_pure(check: Callable[[Caller], None], may: set[str]) -> None:
    """The same, of the table alone."""
    passed = set()
    for who, caller in CALLERS.items():
        with suppress(RefusedError):
            check(caller)
            passed.add(who)

    assert passed == may
