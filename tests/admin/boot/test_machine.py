"""Boot with the real programs, on accounts and a root directory of the test's own."""

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from admin.boot import machine, plan
from admin.boot.plan import Put, Run
from contract.errors import FailedError
from contract.places import API_GID
from contract.userdata import UserData
from tests.admin.private import private
from tests.somebody import somebody

HASH = "$6$salt$Wq3kT9sVnP0uJ5"
OTHER = "$6$salt$anotherhash"

needs_root = [pytest.mark.privileged, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
Boots = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give an empty root directory for the files."""
    made = tmp_path / "root"
    made.mkdir()
    return made


@pytest.fixture
def boots(tmp_path: Path, root: Path) -> Boots:
    """Run steps of booter.py, and return what each boot said."""
    box = tmp_path / "box"
    box.mkdir()

    def run(*steps: dict[str, Any]) -> list[dict[str, Any]]:
        booter = str(Path(__file__).with_name("booter.py"))
        argv = [sys.executable, "-I", booter, str(root), json.dumps(steps)]
        done = subprocess.run(
            private(box, argv), capture_output=True, text=True, check=False, timeout=50
        )
        assert done.returncode == 0, done.stderr
        told: list[dict[str, Any]] = json.loads(done.stdout)
        return told

    return run


class TestAccounts:
    """useradd, usermod, groupadd and chpasswd, for real."""

    pytestmark = needs_root

    def test_a_new_user_and_a_second_boot(self, boots: Boots, root: Path) -> None:
        """The first boot makes the account, the second does nothing."""
        wish = {"user": "operator-1", "password-hash": HASH}
        first, second = boots({"boot": wish}, {"boot": wish})

        assert (first["usable"], first["problems"]) == (True, [])
        assert any(step.startswith("useradd") for step in first["done"])
        assert first["account"]["uid"] in plan.USER_IDS
        assert first["account"]["shell"] == "/bin/bash"
        assert first["account"]["home"]
        assert first["account"]["password"] == HASH
        assert first["account"]["groups"] == ["api", "users"]
        assert HASH not in " ".join(first["done"])
        assert second == {**first, "done": []}
        rule = root / plan.SUDOERS.lstrip("/")
        assert rule.read_text() == "operator-1 ALL=(ALL) NOPASSWD: ALL\n"
        assert rule.stat().st_mode & 0o7777 == 0o440

    def test_the_hash_follows_user_data(self, boots: Boots) -> None:
        """No hash: locked; another hash: set; taken out: locked again, and nothing more to do."""
        user = {"user": "op"}
        seen = boots(
            {"boot": user},
            {"boot": {**user, "password-hash": HASH}},
            {"boot": {**user, "password-hash": OTHER}},
            {"boot": user},
            {"boot": user},
        )

        assert [one["account"]["password"] for one in seen] == [
            "!", HASH, OTHER, f"!{OTHER}", f"!{OTHER}"
        ]  # fmt: skip
        assert seen[-1]["done"] == []

    def test_an_account_that_was_there_is_made_fit(self, boots: Boots) -> None:
        """Another shell, no groups, an empty password: mended; the home and the uid stay."""
        (told,) = boots(
            {"run": ["useradd", "-m", "-u", "4321", "-s", "/bin/sh", "op"]},
            {"run": ["passwd", "-d", "-q", "op"]},
            {"boot": {"user": "op"}},
        )

        assert told["problems"] == []
        assert told["account"] == {
            "uid": 4321,
            "shell": "/bin/bash",
            "home": True,
            "password": "!",
            "groups": ["api", "users"],
        }

    def test_the_api_group_may_open_the_api_socket(self, boots: Boots) -> None:
        """The group api is made with upstream's number."""
        (told,) = boots({"boot": {}})

        assert f"groupadd --force --gid {API_GID} api" in told["done"]

    @pytest.mark.parametrize("user", ["root", "daemon", "nobody"])
    def test_a_system_account_is_left_alone(self, boots: Boots, root: Path, user: str) -> None:
        """No account of the system's own becomes a login with sudo."""
        (told,) = boots({"boot": {"user": user, "password-hash": HASH}})

        assert (told["usable"], told["done"]) == (False, [])
        assert "an account of the system's own" in told["problems"][0]
        assert told["account"]["password"] != HASH
        assert not (root / plan.SUDOERS.lstrip("/")).exists()

    def test_an_account_that_cannot_be_made(self, boots: Boots) -> None:
        """A user named as a group cannot be made: a problem, and nobody can log in."""
        (told,) = boots({"boot": {"user": "users"}})

        assert told["account"] == {}
        assert not told["usable"]
        assert any("useradd" in problem for problem in told["problems"])
        assert any("nobody can log in" in problem for problem in told["problems"])

    def test_accounts_that_cannot_be_written(self, boots: Boots, root: Path) -> None:
        """On a read-only /etc the step is named, and files elsewhere are written all the same."""
        proxy = {"HTTP_PROXY": "http://proxy:3128"}
        (told,) = boots(
            {"run": ["mount", "-o", "remount,ro,bind", "/etc"]},
            {"boot": {"user": "op"}, "environment": proxy},
        )

        assert not told["usable"]
        assert any(problem.startswith("start-up step failed: ") for problem in told["problems"])
        profile = root / plan.PROXY.lstrip("/")
        assert profile.read_text() == "export HTTP_PROXY=http://proxy:3128\n"
        assert profile.stat().st_mode & 0o7777 == 0o644


class TestFiles:
    """Files below a root directory."""

    pytestmark = needs_root

    def test_files_are_written_and_removed(self, root: Path) -> None:
        """A file appears with its mode and directory, is replaced, and goes; twice is no error."""
        path, place = root / "etc/profile.d/x.sh", "/etc/profile.d/x.sh"
        for data in (b"one", b"two"):
            machine._do(Put(place, data, 0o640), root)
            assert (path.read_bytes(), path.stat().st_mode & 0o7777) == (data, 0o640)
        for _ in range(2):
            machine._do(Put(place, None), root)
            assert not path.exists()
        assert [one.name for one in path.parent.iterdir()] == []

    def test_found_is_what_lies_there(self, root: Path) -> None:
        """Finding reads the files of the plan, and this machine's root account."""
        (root / "etc/sudoers.d").mkdir(parents=True)
        (root / plan.SUDOERS.lstrip("/")).write_bytes(b"old rule")
        found = machine.find("root", root)

        assert (found.uid, found.shell) == (0, pwd.getpwuid(0).pw_shell)
        assert found.files == {plan.SUDOERS: b"old rule"}
        assert "root" in found.groups & found.known_groups

    def test_a_trap_in_the_place_of_a_file_is_named(self, root: Path) -> None:
        """A symbolic link where the rule belongs is not followed, and nobody can log in."""
        (root / "etc/sudoers.d").mkdir(parents=True)
        (root / plan.SUDOERS.lstrip("/")).symlink_to("/etc/shadow")
        booted = machine.boot(UserData(user="nosuchuser"), {}, root)

        assert not booted.usable
        assert booted.done == ()
        (problem,) = booted.problems
        assert plan.SUDOERS in problem


def test_a_program_that_fails_says_its_last_line() -> None:
    """What a program said last is the reason; without a word, its status."""
    with pytest.raises(FailedError, match=r"^two$"):
        machine._run(("sh", "-c", "echo one >&2; echo two >&2; exit 3"), "")
    with pytest.raises(FailedError, match=r"^exit status 3$"):
        machine._run(("sh", "-c", "exit 3"), "")


def test_a_program_gets_stdin_and_a_bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the keeper, secrets included, stays with it."""
    monkeypatch.setenv("SECRET", "s")
    script = 'read -r line; test "$line" = "op:hash" && test -z "$SECRET" && test "$PWD" = /'

    machine._run(("sh", "-c", script), "op:hash\n")


def test_a_missing_program_is_an_error_of_the_machine() -> None:
    """A program that an image lacks raises what boot turns into a problem."""
    with pytest.raises(FileNotFoundError):
        machine._do(Run(("no-such-program",)), Path("/"))


@pytest.mark.privileged
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
@pytest.mark.parametrize(("uid", "usable"), [(65534, True), (54321, False)])
def test_without_root(root: Path, uid: int, usable: bool) -> None:
    """Without root nothing is done; a uid without an account is a problem and no crash."""
    booter = str(Path(__file__).with_name("booter.py"))
    steps = json.dumps([{"boot": {"user": "op"}}])
    done = subprocess.run(
        [*somebody(uid), sys.executable, "-I", booter, str(root), steps],
        capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout)

    assert (told["usable"], told["done"], bool(told["problems"])) == (usable, [], not usable)
    assert told["user"] == (pwd.getpwuid(uid).pw_name if usable else str(uid))
