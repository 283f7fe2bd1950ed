"""A DNS that is a black hole: nothing in the daemon resolves a name, so nothing waits for one."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.host.test_daemon import BOTH, Site, site

__all__ = ["site"]

# Python raises these events (the library reference's table of audit events) before it resolves.
WATCHED = """
import os, sys
EVENTS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
EVENTS |= {"socket.getnameinfo"}
out = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
def watch(event, arguments):
    if event in EVENTS:
        os.write(out, f"{event} {arguments!r}\\n".encode())
sys.addaudithook(watch)
"""
DAEMON = f"{WATCHED}\nfrom host.__main__ import main\nmain()\n"


@dataclass
class Watched:
    """A daemon under watch."""

    site: Site
    seen: Path


@pytest.fixture
def watched(site: Site, tmp_path: Path) -> Watched:
    """Start a daemon that writes down each name it resolves."""
    seen = tmp_path / "seen"
    argv = [sys.executable, "-I", "-c", DAEMON, str(seen), "serve", "--runtime", "none"]
    daemon = subprocess.Popen([*argv, *site.places], stderr=subprocess.PIPE, text=True)
    site.daemons.append(daemon)
    assert daemon.stderr is not None
    lines: list[str] = []
    while not any(" ready " in line for line in lines):
        lines.append(daemon.stderr.readline())
        assert lines[-1], lines
    return Watched(site, seen)


def test_the_watch_sees_names(tmp_path: Path) -> None:
    """The test can fail: a name that is resolved is written down."""
    seen = tmp_path / "seen"
    code = f"{WATCHED}\nimport socket\nsocket.getaddrinfo('localhost', 1)\n"
    subprocess.run([sys.executable, "-I", "-c", code, str(seen)], check=True, timeout=30)

    assert "socket.getaddrinfo ('localhost'" in seen.read_text()


def test_the_daemon_resolves_nothing(watched: Watched) -> None:
    """Start, settings full of names, status, reading, exec, updates, reboot's refusal: no name."""
    site = watched.site
    settings = {
        "motd": "m",
        "host-containers": BOTH,
        "network": {"https-proxy": "http://proxy.example:3128", "hostname": "h.example"},
        "updates": {"metadata-base-url": "https://updates.example/"},
        "container-registry": {
            "mirrors": [{"registry": "r.example", "endpoint": ["https://m.example"]}]
        },
    }
    site.write(settings)
    for target in ("/", "/settings", "/os", "/updates/status", "/sheltie/v1/metrics", "/report"):
        site.ask("GET", target)
    site.ask("POST", "/actions/refresh-updates")
    site.ask("GET", "/sheltie/v1/events")
    status = json.loads(site.hostd("status", "--json", "--run", str(site.run)).stdout)

    assert status["caller"] == "host"
    assert watched.seen.read_text() == ""
