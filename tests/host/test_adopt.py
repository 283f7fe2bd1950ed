"""docs/adopt/bottlerocket.toml, as it is, on a host with the original's API and settings."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.host.keys import keys
from tests.host.test_daemon import Site, site

__all__ = ["site"]

CLONE = Path(__file__).resolve().parents[2]
DOCUMENT = CLONE / "docs/adopt/bottlerocket.toml"
UPSTREAM = {"source", "enabled", "superpowered", "user-data", "command"}

BEFORE = {
    "motd": "Welcome",
    "host-containers": {
        "admin": {
            "source": "upstream.example.com/admin:v0.11.6",
            "enabled": True,
            "superpowered": True,
            "user-data": keys(9),
        },
        "control": {
            "source": "upstream.example.com/control:v0.7.10",
            "enabled": True,
            "superpowered": False,
        },
    },
}


def applied(site: Site) -> "subprocess.CompletedProcess[str]":
    """Apply the document by our apiclient over the host's own socket."""
    socket = site.run / "api/host/api.sock"
    argv = [sys.executable, "-I", "-m", "contract.apiclient", "-s", str(socket)]
    return subprocess.run(
        [*argv, "apply", DOCUMENT.as_uri()], capture_output=True, text=True, check=False, timeout=30
    )


def written(site: Site) -> dict[str, Any]:
    """Return host-containers as the host has them."""
    found: dict[str, Any] = site.ask("GET", "/settings").json["host-containers"]
    return found


@pytest.mark.parametrize("before", [None, BEFORE], ids=["empty host", "a host with its own"])
def test_it_is_accepted_and_has_its_effect(site: Site, before: Any) -> None:
    """Both sources are ours, admin is shut, control is up, and nothing else was touched."""
    site.start("--stock")
    if before is not None:
        site.write(before)
    done = applied(site)
    after = written(site)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert after["control"] == {
        "source": "registry.example.com/sheltie/control:0.1.0",
        "enabled": True,
        "superpowered": False,
    }
    kept = {} if before is None else {"user-data": keys(9)}
    assert after["admin"] == {
        "source": "registry.example.com/sheltie/admin:0.1.0",
        "enabled": False,
        "superpowered": True,
        **kept,
    }
    assert site.ask("GET", "/tx/list").json == []
    rest = site.ask("GET", "/settings").json
    del rest["host-containers"]
    assert rest == ({} if before is None else {"motd": "Welcome"})


def test_what_the_host_makes_of_it(site: Site) -> None:
    """The supervisor wants control up from our image, and admin down."""
    site.start()
    assert applied(site).returncode == 0
    status = json.loads(site.hostd("status", "--json", "--run", str(site.run)).stdout)
    wanted = {one["name"]: (one["enabled"], one["image"]) for one in status["containers"]}

    assert wanted == {
        "admin": (False, "registry.example.com/sheltie/admin:0.1.0"),
        "control": (True, "registry.example.com/sheltie/control:0.1.0"),
    }


def test_it_holds_nothing_that_the_original_does_not_know() -> None:
    """A setting of ours would be refused there, and with it the whole document."""
    settings = tomllib.loads(DOCUMENT.read_text())

    assert list(settings) == ["settings"]
    assert list(settings["settings"]) == ["host-containers"]
    for container in settings["settings"]["host-containers"].values():
        assert set(container) <= UPSTREAM
