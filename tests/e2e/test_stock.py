"""The two images as drop-ins on a stock host: control does what a host of ours would do itself."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.host import Host, make_key, wait_for
from tests.e2e.terminal import Terminal

pytestmark = [pytest.mark.e2e, pytest.mark.image, pytest.mark.privileged, pytest.mark.timeout(180)]

REMEMBERED = "/.bottlerocket/host-containers/current/admin-keys/admin-keys.json"
ENABLED = "host-containers.admin.enabled"


def admin(stock: Host) -> dict[str, Any]:
    """Return admin's settings as the host has them."""
    text = stock.text("control", "apiclient", "get", "settings.host-containers.admin")
    found: dict[str, Any] = json.loads(text)["settings"]["host-containers"]["admin"]
    return found


def user_data(stock: Host) -> dict[str, Any]:
    """Return the document in admin's user-data setting."""
    found: dict[str, Any] = json.loads(base64.b64decode(admin(stock)["user-data"]))
    return found


def keys(stock: Host) -> list[str]:
    """Return the key lines in admin's user-data setting."""
    found: list[str] = user_data(stock).get("ssh", {}).get("authorized-keys", [])
    return found


def somebody_sets(stock: Host, *pairs: str) -> None:
    """Write settings past control's own commands, as any other program may."""
    stock.run("control", "apiclient", "set", *pairs)


def gone(stock: Host) -> bool:
    """Whether no command can be run in admin."""
    return bool(stock.run("admin", "true", check=False).returncode)


def shut(stock: Host) -> None:
    """Begin every story with admin disabled."""
    stock.disable()
    wait_for("admin is gone", lambda: gone(stock))


def test_it_is_a_stock_host(stock: Host) -> None:
    """There are no extensions, control finds that out, and says what it cannot know."""
    done = stock.run("control", "apiclient", "raw", "-u", "/sheltie/v1/status", check=False)
    status = stock.status()
    text = stock.text("control", "control", "status")

    assert done.returncode == 1
    assert b"404" in done.stderr
    assert status["stock"] is True
    assert {one["name"] for one in status["containers"]} == {"admin", "control"}
    assert "host: offers upstream's API alone" in text


def test_control_merges_remembers_and_takes_out(stock: Host, tmp_path: Path) -> None:
    """A key goes into user-data beside what the owner set, and is out of it after disabling."""
    identity, key = make_key(tmp_path, "first")
    shut(stock)
    before = user_data(stock)
    answer = stock.enable(key)
    remembered = json.loads(stock.text("control", "cat", REMEMBERED))

    assert stock.ssh("id", "-un", identity=identity).stdout == b"ec2-user\n"
    assert answer["notes"] == []
    assert keys(stock) == [key]
    assert {**user_data(stock), "ssh": before.get("ssh")} == {**before, "ssh": before.get("ssh")}
    assert remembered["keys"] == [key]
    stock.disable()
    assert keys(stock) == []
    assert admin(stock)["enabled"] is False
    assert stock.run("control", "test", "-e", REMEMBERED, check=False).returncode == 1
    assert stock.ssh("true", identity=identity).returncode == 255


def test_the_whole_way_in(stock: Host, tmp_path: Path) -> None:
    """Enable, SSH, sheltie: the host's own namespaces, and a shell that is nowhere on the host."""
    identity, key = make_key(tmp_path, "first")
    shut(stock)
    stock.enable(key)
    script = b"readlink /proc/self/ns/mnt /proc/self/ns/pid /proc/$$/exe\n"
    mnt, pid, shell = stock.ssh("sheltie", identity=identity, stdin=script).stdout.split()

    theirs = stock.text("host", "readlink", "/proc/1/ns/mnt", "/proc/1/ns/pid").split()
    assert [mnt.decode(), pid.decode()] == theirs
    assert stock.run("host", "test", "-e", shell.decode(), check=False).returncode == 1


def test_status_of_an_open_door(stock: Host, tmp_path: Path) -> None:
    """The key, the port and who is in are known: from control's memory and from admin itself."""
    _, key = make_key(tmp_path, "somebody")
    shut(stock)
    stock.enable(key)
    status = stock.status()
    text = stock.text("control", "control", "status")

    assert status["admin"]["ready"] is True
    assert [one["key"]["comment"] for one in status["door"]["keys"]] == ["somebody@example"]
    assert {one["name"]: one["state"] for one in status["containers"]} == {
        "admin": "running",
        "control": "running",
    }
    assert "OPEN, NO LEASE" in text
    assert "another key throws out who is in" in text
    stock.disable()
    assert "SHUT" in stock.text("control", "control", "status")


def test_entering(stock: Host) -> None:
    """A root shell in admin without SSH; its exit status comes through."""
    shut(stock)
    done = stock.run("control", "enter-admin-container", stdin=b"id -u; exit 3\n", check=False)

    assert (done.returncode, done.stdout) == (3, b"0\n")
    assert admin(stock)["enabled"] is True


def test_a_key_of_one_enabling_is_gone_at_the_next(stock: Host, tmp_path: Path) -> None:
    """What control took out lets nobody in any more."""
    first, first_key = make_key(tmp_path, "first")
    second, second_key = make_key(tmp_path, "second")
    shut(stock)
    stock.enable(first_key)
    assert stock.ssh("true", identity=first).returncode == 0
    stock.disable()
    stock.enable(second_key)

    assert stock.ssh("true", identity=second).returncode == 0
    assert b"Permission denied" in stock.ssh("true", identity=first).stderr


def test_a_foreign_disabling_in_between(stock: Host, tmp_path: Path) -> None:
    """Somebody else disables: the key stays in the settings, and goes at the next enabling."""
    first, first_key = make_key(tmp_path, "first")
    second, second_key = make_key(tmp_path, "second")
    shut(stock)
    stock.enable(first_key)
    somebody_sets(stock, f"{ENABLED}=false")
    wait_for("admin is gone", lambda: gone(stock))
    assert keys(stock) == [first_key]
    stock.enable(second_key)

    assert keys(stock) == [second_key]
    assert stock.ssh("true", identity=second).returncode == 0
    assert stock.ssh("true", identity=first).returncode == 255


def test_a_foreign_enabling_in_between(stock: Host, tmp_path: Path) -> None:
    """Somebody else disables and enables again: the old key lets in until control disables.

    That is a limit of such a host: only control knows whose the key was, and nobody asked it.
    """
    first, first_key = make_key(tmp_path, "first")
    second, second_key = make_key(tmp_path, "second")
    shut(stock)
    stock.enable(first_key)
    somebody_sets(stock, f"{ENABLED}=false")
    wait_for("admin is gone", lambda: gone(stock))
    somebody_sets(stock, f"{ENABLED}=true")
    wait_for("the old key lets in", lambda: not stock.ssh("true", identity=first).returncode)
    stock.enable(second_key)
    assert keys(stock) == [first_key, second_key]
    stock.disable()
    assert keys(stock) == []
    wait_for("admin is gone", lambda: gone(stock))
    stock.enable(second_key)

    assert stock.ssh("true", identity=second).returncode == 0
    assert stock.ssh("true", identity=first).returncode == 255


def test_a_second_operators_key_throws_the_first_out_and_says_so(
    stock: Host, tmp_path: Path
) -> None:
    """A stock host restarts admin at every write: the first one's session ends, the note tells."""
    first, first_key = make_key(tmp_path, "first")
    second, second_key = make_key(tmp_path, "second")
    shut(stock)
    stock.enable(first_key)
    with Terminal(stock.ssh_argv(identity=first, options=["-tt"])) as terminal:
        terminal.keys("echo in-$((1 + 1))\r")
        terminal.expect("in-2")
        answer = stock.enable(second_key)
        assert terminal.wait(60) == 255
    again = stock.enable(second_key)

    assert "whoever was in is out" in answer["notes"][0]
    assert (again["changed"], again["notes"]) == (False, [])
    assert stock.ssh("true", identity=first).returncode == 0
    assert stock.ssh("true", identity=second).returncode == 0


def test_an_equal_write_restarts_admin(stock: Host, tmp_path: Path) -> None:
    """Past control's commands even a write of what is there throws everybody out."""
    identity, key = make_key(tmp_path, "first")
    shut(stock)
    stock.enable(key)
    with Terminal(stock.ssh_argv(identity=identity, options=["-tt"])) as terminal:
        terminal.keys("echo in-$((1 + 1))\r")
        terminal.expect("in-2")
        somebody_sets(stock, f"{ENABLED}=true")
        assert terminal.wait(60) == 255
    wait_for("admin is back", lambda: not stock.ssh("true", identity=identity).returncode)


def test_control_is_root_there(stock: Host) -> None:
    """The weakness itself: control may set what runs, and where it runs it is the host's owner."""
    shut(stock)
    before = admin(stock)
    somebody_sets(stock, "host-containers.admin.source=r.example/evil:1")
    changed = admin(stock)
    somebody_sets(stock, f"host-containers.admin.source={before['source']}")

    assert changed["source"] == "r.example/evil:1"
    assert admin(stock) == before
