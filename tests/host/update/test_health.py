"""Whether a new image is well: daemon, control, and operators' own checks."""

import json
from pathlib import Path

import pytest

from contract.apiclient.client import HostApi
from contract.errors import FailedError
from host.update import health, notes
from tests.contract.fakehost import FakeHost, running

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def checks(tmp_path: Path) -> Path:
    """Give a directory for checks, with what is none in it."""
    place = tmp_path / "state/health.d"
    place.mkdir(parents=True)
    (place / ".hidden").write_text("no program")
    return place


def program(place: Path, text: str) -> None:
    """Put an operator's check there."""
    place.write_text(f"#!/bin/sh\n{text}\n")
    place.chmod(0o700)


def why(host: FakeHost, checks: Path, seconds: float = 0.0) -> str:
    """Return what is not well."""
    with pytest.raises(FailedError) as caught:
        health.check(HostApi(host.path), checks, seconds)
    assert caught.value.code == "UNHEALTHY"
    return caught.value.message


def test_well(tmp_path: Path, checks: Path) -> None:
    """With daemon and control up, every check is run, in the order of names; none is fine too."""
    with running(stock=False) as host:
        health.check(HostApi(host.path), tmp_path / "none", 0)
        program(checks / "20-b", f"[ -e {tmp_path}/first ]")
        program(checks / "10-a", f"touch {tmp_path}/first; env > {tmp_path}/environment")
        health.check(HostApi(host.path), checks, 0)

    assert "LC_ALL=C.UTF-8" in (tmp_path / "environment").read_text().splitlines()


def test_control_that_is_disabled_is_not_waited_for(checks: Path) -> None:
    """What nobody wants needs not run."""
    with running(stock=False) as host:
        host.settings["host-containers"]["control"]["enabled"] = False
        health.check(HostApi(host.path), checks, 0)


def test_what_is_not_well(checks: Path) -> None:
    """Each is told in words."""
    with running(stock=False) as host:
        host.settings["host-containers"].pop("control")
        assert why(host, checks) == "the settings do not name control yet"
        host.settings["host-containers"]["control"] = {"enabled": True}
        program(checks / "10-a", "echo the kubelet is down; exit 3")
        assert why(host, checks) == "10-a: the kubelet is down"
        program(checks / "10-a", "exit 3")
        assert why(host, checks) == "10-a: exit status 3"
        (checks / "10-a").chmod(0o600)
        assert why(host, checks) == "10-a cannot be run: Permission denied"
    assert why(host, checks).startswith("the daemon does not answer: ")


def test_a_failure_is_noted_for_the_image_that_then_runs(checks: Path) -> None:
    """The unit fails, and STATE holds the version and why."""
    program(checks / "10-a", "echo no good; exit 1")
    state = checks.parent
    with running(stock=False) as host:
        assert health.main([str(state), host.path]) == 1
        (checks / "10-a").unlink()
        assert health.main([str(state), host.path]) == 0
    (version, note), *rest = notes.read(state / "updates/notes.json").items()

    assert (rest, note.why, note.requested) == ([], "10-a: no good", False)
    assert version in (state / "updates/notes.json").read_text()


@pytest.mark.parametrize("text", ["", "{", '{"version":2,"notes":{}}', json.dumps({"version": 1})])
def test_notes_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    """They are none, and new ones take their place."""
    file = tmp_path / "notes.json"
    file.write_text(text)
    assert notes.read(file) == {}
    notes.put(file, "1.0.0", "two\nlines")
    notes.put(file, "1.1.0", "x")
    notes.forget(file, "1.1.0")
    notes.forget(file, "7.0.0")

    assert {version: note.why for version, note in notes.read(file).items()} == {
        "1.0.0": "two lines"
    }
