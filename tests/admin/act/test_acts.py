"""Actions on a stand-in host, as root and by logins that may only look, and what the audit says.

systemd's and journald's own tools are played: the stand-in's first process is not systemd.
"""

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from contract import places
from tests.admin.access.conftest import Access, access
from tests.admin.sheltie.conftest import Box, bare_box
from tests.admin.sheltie.engine import engine
from tests.admin.sheltie.test_terminal import wait_for
from tests.e2e.terminal import Terminal

__all__ = ["access", "bare_box"]
pytestmark = [pytest.mark.privileged, pytest.mark.timeout(180)]

SYSTEMCTL = """#!/bin/sh
case "$1 $3" in
"cat kubelet") exit 0 ;;
"cat "*) echo "No files found for $3." >&2; exit 1 ;;
"restart kubelet") echo "$*" >>{log} ;;
*) exit 9 ;;
esac
"""
JOURNALCTL = """#!/bin/sh
echo "$*" >>{log}
case $1 in --vacuum*) echo "Vacuuming done, freed 0B"; test -e {log}.well ;; esac
"""


def act(one: Access, *words: str) -> "subprocess.CompletedProcess[bytes]":
    """Act as root in the container."""
    return one.box.run(one.box.sheltie("act", *words))


def told(one: Access, *words: str) -> dict[str, Any]:
    """Return what an action tells as JSON; it must succeed."""
    done = act(one, *words, "--json")
    assert done.returncode == 0, done
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def acted(one: Access) -> list[dict[str, Any]]:
    """Return the audit's events of actions, the oldest first."""
    return [each for each in one.audited() if each["code"] in ("act.started", "acted")]


@contextmanager
def played(one: Access, program: str, text: str) -> Iterator[Any]:
    """Have the host find a program of ours under a name of its own; yields its log."""
    log = one.box.state / f"{program}.log"
    log.unlink(missing_ok=True)
    file = one.box.state / program
    file.write_text(text.format(log=log))
    file.chmod(0o755)
    place = one.box.on_host("sh", "-c", f"command -v {program}")
    one.box.on_host("mount", "--bind", str(file), place)
    try:
        yield log
    finally:
        one.box.on_host("umount", place)


def test_a_unit_is_restarted(access: Access) -> None:
    """The host's systemctl is asked whether it knows the unit, and then told; the audit has it."""
    with played(access, "systemctl", SYSTEMCTL) as log:
        shown = told(access, "restart-unit", "kubelet", "--dry-run")
        assert shown["commands"] == [["systemctl", "restart", "--", "kubelet"]]
        assert not log.exists()
        before = len(acted(access)) if (access.root / places.ADMIN_AUDIT[1:]).exists() else 0
        assert told(access, "restart-unit", "kubelet")["result"] == "done"
        assert log.read_text() == "restart -- kubelet\n"
        done = act(access, "restart-unit", "other")
        assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (4, b"", 1)
        assert b"No files found for other. [ACT_UNFIT]" in done.stderr
    begun, ended = acted(access)[before:]
    assert (begun["code"], ended["code"], ended["result"]) == ("act.started", "acted", "done")
    for one in (begun, ended):
        assert (one["action"], one["parameters"]) == ("restart-unit", {"unit": "kubelet"})
        assert one["who"]["caller"] == "act"
        assert one["who"]["pid"] > 0


def test_a_process_gets_a_signal(access: Access) -> None:
    """The process dies of it; one that is not there, the first one and admin's own are refused."""
    argv = ["nsenter", "-t", str(access.box.host), "-a", "--", "sleep", "7500"]
    with subprocess.Popen(argv) as process:
        wait_for(lambda: access.box.on_host("pgrep", "-fx", "sleep 7500") != "")
        pid = access.box.on_host("pgrep", "-fx", "sleep 7500")
        assert told(access, "kill-pid", pid, "--signal", "KILL")["result"] == "done"
        assert process.wait(30) != 0
    assert acted(access)[-1]["parameters"] == {"pid": pid, "signal": "KILL"}
    ours = access.box.on_host("pgrep", "-f", "admin serve").split()[0]
    for words, status, code in (
        (["3999999"], 4, b"NO_PROCESS"), (["1"], 2, b"ACT_PARAMETER"),
        ([ours], 3, b"ACT_OURS"), ([pid, "--signal", "SEGV"], 2, b"ACT_PARAMETER"),
    ):  # fmt: skip
        done = act(access, "kill-pid", *words)
        assert (done.returncode, code in done.stderr, done.stderr.count(b"\n")) == (status, True, 1)
    assert acted(access)[-1]["result"].startswith("failed: process")


def test_a_container_is_restarted(access: Access) -> None:
    """The first engine that knows it restarts it."""
    with engine(access.box) as rootfs:
        run = ["podman", "run", "--detach", "--name", "web", "--stop-timeout", "1"]
        access.box.on_host(*run, *rootfs, "7501")
        wait_for(lambda: access.box.on_host("pgrep", "-fx", "/bin/sleep 7501") != "")
        before = access.box.on_host("pgrep", "-fx", "/bin/sleep 7501")
        assert told(access, "restart-container", "web")["commands"] == [
            ["podman", "container", "restart", "web"]
        ]
        wait_for(lambda: access.box.on_host("pgrep", "-fx", "/bin/sleep 7501") not in ("", before))
        assert b"[ACT_UNFIT]" in act(access, "restart-container", "none").stderr


def test_images_are_freed(access: Access) -> None:
    """Every engine that answers removes what it does not use."""
    with engine(access.box):
        layer = access.box.state / "layer.tar"
        with tarfile.open(layer, "w") as archive:
            archive.addfile(tarfile.TarInfo("nothing"))
        policy = '{"default": [{"type": "insecureAcceptAnything"}]}'
        access.box.on_host("sh", "-c", f"echo '{policy}' >/etc/containers/policy.json")
        access.box.on_host("podman", "import", str(layer), "localhost/unused:1")
        assert "localhost/unused" in access.box.on_host("podman", "image", "ls")
        shown = told(access, "free-images")
        assert ["podman", "image", "prune", "--all", "--force"] in shown["commands"]
        assert access.box.on_host("podman", "image", "ls", "--quiet") == ""


def test_logs_are_rotated_and_a_failure_is_told(access: Access) -> None:
    """Steps are taken in order; the first that fails ends the action, and the audit says why."""
    with played(access, "journalctl", JOURNALCTL) as log:
        done = act(access, "rotate-logs", "--keep", "100M")
        assert (done.returncode, b"[ACT_FAILED]" in done.stderr) == (1, True)
        assert acted(access)[-1]["result"].startswith("failed: journalctl --vacuum-size=100M")
        assert log.read_text().splitlines() == ["--disk-usage", "--rotate", "--vacuum-size=100M"]
        (log.parent / f"{log.name}.well").touch()
        assert "Vacuuming done, freed 0B" in told(access, "rotate-logs", "--keep", "1G")["output"]


def test_a_bundle(access: Access) -> None:
    """It holds what a look can see, and what could not be had is noted; never on a terminal."""
    done = act(access, "support-bundle")
    assert done.returncode == 0, done.stderr
    with tarfile.open(fileobj=io.BytesIO(done.stdout), mode="r:gz") as archive:
        found = {one.name: archive.extractfile(one) for one in archive}
        notes = found["support-bundle/notes.txt"]
        assert notes is not None
        said = notes.read().decode()
        mounts = found["support-bundle/mounts"]
        assert mounts is not None
        assert b" / overlay " in mounts.read()
    assert "pods.json: " in said
    assert b"support-bundle: done" in done.stderr
    with Terminal(access.box.sheltie("act", "support-bundle")) as terminal:
        terminal.expect(r"writes an archive to standard output.*\[SHELTIE_USAGE\]")
        assert terminal.wait() == 2


def test_what_the_host_lacks(bare_box: Box) -> None:
    """A host without any of the programs is told in one line, dry or not, and nothing is begun."""
    for words in (["restart-unit", "x"], ["restart-container", "x"], ["free-images", "--dry-run"]):
        done = bare_box.run(bare_box.sheltie("act", *words))
        assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (6, b"", 1), done
        assert b"this host has none of" in done.stderr
        assert b"[ACT_LACKS]" in done.stderr


def test_without_an_audit_nothing_is_done(access: Access) -> None:
    """What cannot be recorded does not happen."""
    text = 'mount -t tmpfs -o ro none $0 && exec "$@"'
    place = access.root / places.PERSISTENT[1:] / "sheltie"
    place.mkdir(exist_ok=True)
    with played(access, "systemctl", SYSTEMCTL) as log:
        argv = ["unshare", "-m", "sh", "-c", text, f"{places.PERSISTENT}/sheltie"]
        done = access.box.run(
            [*access.box.argv(*argv), *access.box.sheltie("act")[5:], "restart-unit", "kubelet"]
        )
        assert (done.returncode, b"[AUDIT_UNWRITABLE]" in done.stderr) == (6, True), done
        assert not log.exists()


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        ([], 2, "SHELTIE_USAGE"), (["no-such"], 4, "NO_ACTION"),
        (["--list", "x"], 2, "SHELTIE_USAGE"),
        (["restart-unit"], 2, "SHELTIE_USAGE"), (["restart-unit", "a b"], 2, "ACT_PARAMETER"),
        (["restart-unit", "--", "-x"], 2, "ACT_PARAMETER"), (["kill-pid", "x"], 2, "ACT_PARAMETER"),
        (["rotate-logs", "--keep=lots"], 2, "ACT_PARAMETER"),
    ],
)  # fmt: skip
def test_bad_words(access: Access, words: list[str], status: int, code: str) -> None:
    """One line each."""
    done = act(access, *words)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (status, b"", 1), done
    assert f"[{code}]".encode() in done.stderr


def test_the_list(access: Access) -> None:
    """All six, for people and programs."""
    text = act(access, "--list").stdout.decode()
    assert "kill-pid PID [--signal TERM]\n    Send a signal" in text
    assert len(json.loads(act(access, "--list", "--json").stdout)) == 6
    assert b"such as kubelet.service" in act(access, "restart-unit", "--help").stdout


def test_a_login_that_may_only_look(access: Access) -> None:
    """It may do what the owner opened to it, and the audit says whose session it was."""
    looker = {"look-keys": [access.keys["looker"]]}
    with played(access, "systemctl", SYSTEMCTL) as log:
        for section in ({}, {"look-acts": ["kill-pid"]}, {"look-acts": "restart-unit"}):
            access.configure(**looker, **section)
            done = access.ssh("looker", "sheltie act restart-unit kubelet")
            assert (done.returncode, b"[LOOK_ONLY]" in done.stderr) == (3, True), done
            assert acted(access)[-1]["result"].startswith("refused: ")
        assert not log.exists()
        access.configure(**looker, **{"look-acts": ["restart-unit", "support-bundle"]})
        assert access.out("looker", "sheltie act restart-unit kubelet").endswith("done\n")
        assert log.read_text() == "restart -- kubelet\n"
    event = acted(access)[-1]
    assert event["login"]["access"] == "look"
    assert event["session"] in {
        each.get("session") for each in access.audited() if each["code"] == "session.started"
    }
    listed = access.out("looker", "sheltie act --list")
    assert "restart-unit UNIT" in listed
    assert "kill-pid" not in listed
    bundle = access.ssh("looker", "sheltie act support-bundle").stdout
    with tarfile.open(fileobj=io.BytesIO(bundle)) as archive:
        assert "support-bundle/mounts" in archive.getnames()
    assert access.ssh("looker", "sheltie act --look kill-pid 2").returncode == 2
