"""Tests that need a host of their own run inside a stand-in host, by a pytest in there.

A module says so with `pytest_plugins = ("tests.host.inside",)` and `INSIDE = True`. Its tests are
run together, once, and their reports are handed out here one by one.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from dev.standin import bring_down, bring_up

CLONE = Path(__file__).resolve().parents[2]
REPORTS = "SHELTIE_INSIDE"
"""Names the file that the inner pytest writes its reports to; set only in there."""
SECONDS = 280

_stash = pytest.StashKey[dict[str, list[dict[str, Any]]]]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Report what the inner pytest found; in the inner one, run as usual."""
    module = getattr(item, "module", None)
    if REPORTS in os.environ or not getattr(module, "INSIDE", False):
        return None
    known = item.session.stash.setdefault(_stash, {})
    if item.nodeid not in known:
        mates = [one.nodeid for one in item.session.items if one.path == item.path]
        known.update(_run(mates))
    hook = item.ihook
    hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for data in known[item.nodeid]:
        report = hook.pytest_report_from_serializable(config=item.config, data=data)
        hook.pytest_runtest_logreport(report=report)
    hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    # The test before this one left set up what it shares with us; what the next one does not share
    # has to go, as the usual protocol sees to.
    item.session._setupstate.teardown_exact(nextitem)
    return True


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """In the inner pytest: write the report down."""
    if REPORTS in os.environ:
        _write(report)


def pytest_configure(config: pytest.Config) -> None:
    """Remember the inner configuration, which turns reports into JSON."""
    global _config
    _config = config


_config: pytest.Config | None = None


def _write(report: pytest.TestReport) -> None:
    assert _config is not None
    data = _config.hook.pytest_report_to_serializable(config=_config, report=report)
    with Path(os.environ[REPORTS]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(data, default=str) + "\n")


def _run(nodes: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Run tests in a fresh stand-in and return their reports by test."""
    with tempfile.TemporaryDirectory(prefix="inside-") as directory:
        state = Path(directory, "state")
        state.mkdir()
        reports = state / "reports"
        record = Path(directory, "record.json")
        bring_up(record=record, binds=[CLONE], state=state, follow_parent=True)
        try:
            output = _pytest(record, state, reports, nodes)
        finally:
            bring_down(record)
        found: dict[str, list[dict[str, Any]]] = {node: [] for node in nodes}
        for line in reports.read_text().splitlines() if reports.exists() else []:
            data = json.loads(line)
            found[data["nodeid"]].append(data)
    for node, reported in found.items():
        assert reported, f"{node} was not run inside:\n{output}"
    return found


def _pytest(record: Path, state: Path, reports: Path, nodes: list[str]) -> str:
    argv = [sys.executable, "-I", "-m", "dev.enter", "--record", str(record), "--"]
    argv += [sys.executable, "-I", "-m", "pytest", "-p", "tests.host.inside", "-q"]
    argv += ["-p", "no:cacheprovider", "--basetemp", str(state / "tests")]
    argv += ["--rootdir", str(CLONE), "-c", str(CLONE / "pyproject.toml")]
    environment = {**os.environ, REPORTS: str(reports)}
    environment.pop("PYTEST_XDIST_WORKER", None)
    done = subprocess.run(
        [*argv, *(f"{CLONE}/{node}" for node in nodes)],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env=environment,
    )
    return done.stdout + done.stderr
