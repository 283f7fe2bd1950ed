"""Setting a bare machine up: services stay off meanwhile, and what was there before comes back."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dev import packages


def test_services_are_kept_off_and_the_absence_comes_back(tmp_path: Path) -> None:
    """Where no policy was, there is one during the install and none after it."""
    policy = tmp_path / "policy-rc.d"
    with packages.no_services(policy):
        assert subprocess.run([policy], check=False).returncode == 101

    assert list(tmp_path.iterdir()) == []


def test_a_former_policy_comes_back_as_it_was(tmp_path: Path) -> None:
    """A policy that was there comes back with its content, mode and inode."""
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n")
    policy.chmod(0o751)
    before = policy.stat()
    with packages.no_services(policy):
        assert subprocess.run([policy], check=False).returncode == 101

    after = policy.stat()
    assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)
    assert policy.read_text() == "#!/bin/sh\nexit 0\n"


def test_a_failure_meanwhile_brings_the_former_policy_back(tmp_path: Path) -> None:
    """An error or an interrupt inside does not leave services off."""
    policy = tmp_path / "policy-rc.d"
    policy.symlink_to("/bin/true")
    with pytest.raises(KeyboardInterrupt), packages.no_services(policy):
        raise KeyboardInterrupt

    assert policy.readlink() == Path("/bin/true")


@pytest.mark.parametrize("there", [False, True])
def test_after_a_kill_the_next_call_brings_it_back(tmp_path: Path, there: bool) -> None:
    """A run that was killed inside left its memory; the next run restores from it."""
    policy = tmp_path / "policy-rc.d"
    if there:
        policy.write_text("former")
    script = (
        "import os, sys, pathlib; sys.path.insert(0, sys.argv[2]); from dev import packages\n"
        "with packages.no_services(pathlib.Path(sys.argv[1])): os._exit(9)\n"
    )
    argv = [sys.executable, "-I", "-c", script, str(policy), str(packages.CLONE)]
    assert subprocess.run(argv, check=False).returncode == 9
    assert "101" in policy.read_text()
    packages.restore(policy)

    assert [path.name for path in tmp_path.iterdir()] == (["policy-rc.d"] if there else [])
    assert not there or policy.read_text() == "former"


def test_the_stamp_knows_lock_interpreter_and_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment is made anew when the lock changes or the clone moves."""
    lock = tmp_path / "requirements.txt"
    lock.write_text("a==1\n")
    monkeypatch.setattr(packages, "CLONE", tmp_path)
    first = packages._stamp()
    lock.write_text("a==2\n")
    second = packages._stamp()
    monkeypatch.setattr(packages, "ENVIRONMENT", tmp_path / "elsewhere")

    assert len({first, second, packages._stamp()}) == 3


@pytest.mark.privileged
def test_without_root_it_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing packages without root: one line that names them."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(packages.SetupError, match="needs root: crun runc"):
        packages.install(["crun", "runc"])


def test_after_setting_up_nothing_is_missing() -> None:
    """Each package brings the program it is listed for, and a second run has nothing to do."""
    assert packages.missing_packages() == []


def test_a_missing_program_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be found is named by the package that brings it."""
    monkeypatch.setattr(shutil, "which", lambda name, path: name != "docker-registry")

    assert packages.missing_packages() == ["docker-registry"]
