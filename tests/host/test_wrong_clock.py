"""A clock that is wrong: the daemon serves, commits and audits in 1970 and in 2099."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from contract import chain
from tests.host.keys import keys
from tests.host.test_daemon import BOTH, Site, end, site

__all__ = ["site"]


def wrong(when: str) -> dict[str, str]:
    """Return the environment of a process whose clock begins at `when`; its timers are right."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    wanted = {"LD_PRELOAD": str(library), "FAKETIME": f"@{when}", "DONT_FAKE_MONOTONIC": "1"}
    return {**os.environ, **wanted, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "TZ": "UTC"}


def times(site: Site) -> list[str]:
    """Return the times in the audit, whose chain must be whole."""
    paths = sorted((site.state / "audit").glob("*.jsonl"))
    lines = [line for path in paths for line in path.read_bytes().splitlines(keepends=True)]
    return [chain.read(line).record["time"] for line in lines]


@pytest.mark.parametrize(
    ("when", "year"), [("1970-01-01 00:00:10", "1970"), ("2099-12-31 23:59:50", "2")]
)
def test_all_of_it_works(site: Site, when: str, year: str) -> None:
    """Settings, a key for control, generations, status and audit, and a restart in between."""
    for round_ in (1, 2):
        daemon = site.start(env=wrong(when))
        site.write({"motd": f"round {round_}", "host-containers": BOTH})
        handed = {"host-containers": {"admin": {"enabled": True, "user-data": keys(1)}}}
        site.write(handed, "control")
        status = site.ask("GET", "/sheltie/v1/status").json
        assert status["since"].startswith(when[:4] if year == "1970" else ("2099", "2100"))
        assert status["door"]["since"] >= status["since"]
        assert status["problems"] == ["started with --runtime none: containers are not run"]
        assert site.ask("GET", "/settings").headers["date"].split()[3] in {"1970", "2099", "2100"}
        code, log = end(daemon, signal.SIGTERM)
        assert (code, "Traceback" in log) == (0, False)
    numbers = site.state / "settings" / "generations"

    assert sorted(path.name for path in numbers.iterdir()) == [f"{n}.json" for n in range(1, 5)]
    assert all(time.startswith(year) for time in times(site))
    verify = [sys.executable, "-I", "-m", "host", "audit", "verify", "--state", str(site.state)]
    assert subprocess.run(verify, check=False, capture_output=True, timeout=30).returncode == 0


def test_a_clock_that_is_set_right(site: Site) -> None:
    """What was written in another century stays in order: numbers count, not times."""
    for when in ("2099-01-01 00:00:00", "1970-01-01 00:00:10", "2030-01-01 00:00:00"):
        daemon = site.start(env=wrong(when))
        site.write({"motd": when})
        end(daemon, signal.SIGTERM)
    site.start()
    listed = json.loads(site.ask("GET", "/sheltie/v1/generations").body)

    assert [one["at"][:4] for one in listed] == ["2099", "1970", "2030"]
    assert [one["number"] for one in listed] == [1, 2, 3]
    assert site.ask("GET", "/settings").json["motd"] == "2030-01-01 00:00:00"
    assert times(site)[0].startswith("2099")
