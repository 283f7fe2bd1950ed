"""`authorized-keys-command`: who runs it, with what, how long, and what becomes of its words."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from admin.ssh import keyscommand
from admin.ssh.keyscommand import KeysCommand
from contract.errors import SheltieError
from contract.keyline import parse
from tests.admin.ssh.door import Door, make_key

pytestmark = pytest.mark.privileged


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that only root may write, all the way up; /tmp is not."""
    path = Path(tempfile.mkdtemp(dir="/run", prefix="sheltie-keys-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def program(place: Path, text: str, mode: int = 0o755) -> Path:
    """Write a program."""
    path = place / "keys"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return path


async def run(command: KeysCommand, key: str) -> list[str]:
    """Run it for one key and return the fingerprints that it lets in."""
    found = await command.run("op", parse(key).blob, asyncio.Semaphore(1))
    return [entry.line.fingerprint for entry in found]


async def test_its_keys_let_in(door: Door, place: Path, tmp_path: Path) -> None:
    """With options and all; other keys stay out."""
    path = program(place, f"echo 'command=\"echo by command\" {door.key}'")
    ready = await door.configure(keys_command=f"{path} %u %f", keys_command_user="nobody")
    stranger, _ = make_key(tmp_path, "stranger")

    assert (ready.problems, ready.ways) == ([], 1)
    assert (await door.ssh("id")).out == b"by command\n"
    assert (await door.ssh("id", identity=stranger)).code == 255


async def test_it_runs_as_its_own_user_without_ours(place: Path, tmp_path: Path) -> None:
    """Not root, no groups, a bare environment, no descriptor but its own; tokens are filled in."""
    told = place / "told"
    told.write_text("")
    told.chmod(0o666)
    path = program(
        place,
        f'{{ id -u; id -G; env | cut -d= -f1 | sort | tr "\\n" " "; echo; ls /proc/self/fd | wc -l;'
        f' for word in "$@"; do echo "$word"; done; }} >{told}',
    )
    _, key = make_key(tmp_path, "user")
    await run(KeysCommand.parse(f"{path} %u '%f' a%%b %t %k", "nobody"), key)
    lines = told.read_text().splitlines()
    line = parse(key)

    assert lines[0] == "65534"
    assert "0" not in lines[1].split()
    assert set(lines[2].split()) <= {"PATH", "PWD", "SHLVL", "_", "OLDPWD"}
    assert int(lines[3]) <= 5
    assert lines[4:] == ["op", line.fingerprint, "a%b", "ssh-ed25519", line.text.split()[1]]


@pytest.mark.parametrize(
    ("line", "user", "why"),
    [
        ("keys %u", "nobody", "absolute path"),
        ("", "nobody", "absolute path"),
        ("/bin/true %q", "nobody", "%q"),
        ("/bin/true %", "nobody", "uses %"),
        ("/bin/true 'x", "nobody", "split into words"),
        ("/bin/true", "", "authorized-keys-command-user"),
        ("/bin/true", "nobody-at-all", "does not exist"),
        ("/no/such/program", "nobody", "No such file"),
        ("/etc/passwd", "nobody", "no program"),
    ],
)
def test_a_command_that_cannot_be_is_refused(line: str, user: str, why: str) -> None:
    """Each with its reason."""
    with pytest.raises(SheltieError, match=why):
        KeysCommand.parse(line, user)


def test_a_program_that_others_could_exchange_is_refused(place: Path, tmp_path: Path) -> None:
    """Writable by its group, owned by somebody, or in a directory like /tmp."""
    path = program(place, "true", 0o775)
    with pytest.raises(SheltieError, match="root's alone"):
        KeysCommand.parse(str(path), "nobody")
    path.chmod(0o755)
    os.chown(path, 65534, 0)
    with pytest.raises(SheltieError, match="root's alone"):
        KeysCommand.parse(str(path), "nobody")
    with pytest.raises(SheltieError, match="root's alone"):
        KeysCommand.parse(str(program(tmp_path, "true")), "nobody")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("exit 3", "status 3"),
        ("sleep 60", "took longer"),
        ("yes", "printed more"),
        ("kill -9 $$", "status -9"),
    ],
)
async def test_a_command_that_fails_lets_nobody_in(
    place: Path, tmp_path: Path, text: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its status, its time, its output: each has a limit, and what it printed before is nothing."""
    monkeypatch.setattr(keyscommand, "SECONDS", 0.5)
    _, key = make_key(tmp_path, "user")
    command = KeysCommand.parse(str(program(place, f"echo '{key}'; {text}")), "nobody")
    with pytest.raises(SheltieError, match=why):
        await run(command, key)


async def test_lines_that_are_no_keys_are_passed_over(place: Path, tmp_path: Path) -> None:
    """Comments, junk, unknown options; the good line counts."""
    _, key = make_key(tmp_path, "user")
    path = program(place, f"echo '# note'; echo; echo junk; echo 'bogus {key}'; echo '{key}'")

    assert await run(KeysCommand.parse(str(path), "nobody"), key) == [parse(key).fingerprint]


async def test_a_broken_command_is_told_and_other_keys_count(door: Door, place: Path) -> None:
    """The door does not hang on it."""
    path = program(place, "exit 7")
    await door.configure(door.key, keys_command=str(path), keys_command_user="nobody")

    assert (await door.ssh("echo in")).out == b"in\n"
    assert "status 7" in (await door.wait_for("problem")).detail
    assert (await door.ssh("echo in")).out == b"in\n"
    assert [one.what for one in door.events].count("problem") == 1  # it is said once a minute


async def test_instance_connect_says_what_is_missing(door: Door) -> None:
    """One switch; here the program is not there."""
    ready = await door.configure(door.key, instance_connect=True)

    assert any("eic_run_authorized_keys" in problem for problem in ready.problems)
    assert ready.ways == 1
