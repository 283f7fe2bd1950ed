"""Looking at a daemon from its command line: audit, generations, events and logs."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.host.test_daemon import BOTH, Site, end, site

__all__ = ["site"]  # the fixture


def looked(site: Site, *words: str, status: int = 0) -> str:
    """Run a command that looks over the socket, and return what it printed."""
    done = site.hostd(*words, *site.places)
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


@pytest.fixture
def busy(site: Site) -> Site:
    """Give a daemon that has something to tell."""
    site.start()
    site.write({"motd": "a", "host-containers": BOTH})
    site.write({"motd": "b"})
    return site


def test_generations(busy: Site) -> None:
    """Generations are listed, shown, compared and restored."""
    listed = looked(busy, "generations", "list")
    document = json.loads(looked(busy, "generations", "list", "--json"))
    shown = json.loads(looked(busy, "generations", "show", "1"))
    diff = looked(busy, "generations", "diff", "1", "2")
    restored = looked(busy, "generations", "restore", "1")

    assert [line.split()[0] for line in listed.splitlines()] == ["GENERATION", "1", "2"]
    assert [one["number"] for one in document] == [1, 2]
    assert shown["settings"]["motd"] == "a"
    assert diff.splitlines() == ['- settings.motd = "a"', '+ settings.motd = "b"']
    assert restored.startswith("generation 3: motd\n")
    assert busy.ask("GET", "/settings?keys=settings.motd").json == {"motd": "a"}
    assert "no generation 9" in looked(busy, "generations", "show", "9", status=1)
    assert "no generation 9" in looked(busy, "generations", "restore", "9", status=1)


def test_audit(busy: Site) -> None:
    """The audit is listed and checked, with the daemon up or not, and a bent one is found."""
    head = json.loads(looked(busy, "status", "--json"))["audit"]["head"]
    end(busy.daemons[0], signal.SIGTERM)
    directory = busy.state / "audit"
    listed = busy.hostd("audit", "list", str(directory)).stdout.splitlines()
    documents = busy.hostd("audit", "list", "--json", str(directory)).stdout.splitlines()
    sound = busy.hostd("audit", "verify", "--state", str(busy.state), "--head", head)
    path = next(directory.iterdir())
    path.write_bytes(path.read_bytes().replace(b'"caller":"host"', b'"caller":"hos7"', 1))
    bent = busy.hostd("audit", "verify", str(directory))

    assert [line.split()[2] for line in (listed[0], listed[-1])] == [
        "daemon.started",
        "daemon.ended",
    ]
    assert [json.loads(line)["seq"] for line in documents] == list(range(1, len(listed) + 1))
    assert (sound.returncode, sound.stderr) == (0, "")
    assert sound.stdout.startswith(f"records 1 to {len(listed)} in 1 segments, head ")
    assert bent.returncode == 1
    assert "its hash does not fit its text" in bent.stderr
    assert "[AUDIT_BROKEN]" in bent.stderr.splitlines()[-1]
    assert busy.hostd("audit", "verify", str(busy.run)).returncode == 4


def test_audit_outlives_kill(busy: Site) -> None:
    """After kill -9 the chain goes on, and what was told is there."""
    end(busy.daemons[0], signal.SIGKILL)
    busy.start()
    events = [json.loads(line)["record"]["event"] for line in _events(busy)]

    started = [event for event in events if event["code"] == "daemon.started"]
    assert [event["generation"] for event in started] == [0, 2]
    assert not [event for event in events if event["code"] == "settings.found"]
    assert busy.hostd("audit", "verify", "--state", str(busy.state)).returncode == 0


def test_settings_changed_beneath(busy: Site) -> None:
    """Settings that changed while no daemon looked are told of at the start."""
    end(busy.daemons[0], signal.SIGTERM)
    path = busy.state / "settings" / "live.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "serial": 7}))
    busy.start()
    events = [json.loads(line)["record"]["event"] for line in _events(busy)]

    assert {"code": "settings.found", "generation": 7, "known": 2} in events


def test_broken_settings(busy: Site) -> None:
    """A broken live file: the last generation, in status, in the log, in the audit."""
    end(busy.daemons[0], signal.SIGTERM)
    (busy.state / "settings" / "live.json").write_text("{")
    daemon = busy.start()
    status = json.loads(looked(busy, "status", "--json"))
    events = [json.loads(line)["record"]["event"] for line in _events(busy)]
    _, log = end(daemon, signal.SIGTERM)

    assert (status["generation"], busy.daemons[0].returncode) == (2, 0)
    assert any("generation 2 was taken instead" in problem for problem in status["problems"])
    assert [event["generation"] for event in events if event["code"] == "settings.recovered"] == [2]
    assert "Traceback" not in log


def test_audit_with_no_room(site: Site) -> None:
    """A daemon whose audit cannot be written serves all the same, and says so."""
    site.state.mkdir(mode=0o700)
    (site.state / "audit").write_text("in the way")
    site.start()
    site.write({"motd": "x"})
    problems = json.loads(looked(site, "status", "--json"))["problems"]
    assert any(problem.startswith("audit: cannot make directory") for problem in problems)
    (site.state / "audit").unlink()
    site.write({"motd": "y"})
    end(site.daemons[0], signal.SIGTERM)
    listed = site.hostd("audit", "list", "--state", str(site.state)).stdout

    assert listed.splitlines()[0].split()[2] == "daemon.started"
    assert "audit.resumed" in listed
    assert site.hostd("audit", "verify", "--state", str(site.state)).returncode == 0


def test_logs(busy: Site) -> None:
    """A log without its frame, or with times; what is no log is one line."""
    log = busy.state / "containers" / "control" / "log"
    log.parent.mkdir(parents=True)
    log.write_text(
        "2026-01-01T00:00:00.0Z stdout F one\n2026-01-01T00:00:01.0Z stderr P two \n"
        "2026-01-01T00:00:01.0Z stderr F halves\n"
    )

    assert looked(busy, "logs", "control") == "one\ntwo halves\n"
    assert looked(busy, "logs", "control", "-n", "1") == "halves\n"
    assert looked(busy, "logs", "control", "-n", "1", "--timestamps") == (
        "2026-01-01T00:00:01.0Z stderr halves\n"
    )
    assert "has written no log yet" in looked(busy, "logs", "admin", status=1)
    assert "there is no container 'nobody'" in looked(busy, "logs", "nobody", status=1)


@pytest.mark.parametrize("command", [["events", "-f"], ["logs", "control", "-f"]])
def test_following(busy: Site, command: list[str]) -> None:
    """Following prints as it comes, and INT ends it quietly."""
    log = busy.state / "containers" / "control" / "log"
    log.parent.mkdir(parents=True)
    log.write_text("t stdout F first\n")
    argv = [sys.executable, "-I", "-m", "host", *command, *busy.places]
    follower = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert follower.stdout is not None
    assert follower.stdout.readline()
    with log.open("a") as file:
        file.write("t stdout F second\n")
    busy.ask("PATCH", "/settings?tx=second", {"motd": "c"})
    for line in follower.stdout:
        if "second" in line:
            break
    follower.send_signal(signal.SIGINT)
    _, errors = follower.communicate(timeout=20)

    assert (follower.returncode, errors) == (130, "")


def test_status(busy: Site) -> None:
    """Status in words names generation and audit, and what is wanted beside what is."""
    shown = looked(busy, "status")

    assert "settings: generation 2; audit: " in shown
    assert "WANTED" in shown
    assert os.linesep in shown


def _events(site: Site) -> list[str]:
    return looked(site, "events", "--json").splitlines()
