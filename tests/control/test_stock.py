"""What only a stock host needs: control remembers which keys it added."""

import base64
import json
from pathlib import Path

import pytest

from contract.apiclient.client import HostApi
from contract.errors import SheltieError
from contract.keyline import parse_plain
from control.enabling import DROPPED
from control.remembered import Remembered
from control.stock import StockHost
from tests.contract.fakehost import key_line
from tests.control.conftest import Control


def host(control: Control) -> StockHost:
    """Return the stock host as control sees it."""
    return StockHost(HostApi(control.host.path), Remembered(control.state))


def test_keys_of_an_enabling_that_others_ended_go_at_the_next(stock: Control) -> None:
    """Somebody disabled admin by apiclient: the next enabling takes the old keys out."""
    host(stock).enable([parse_plain(key_line(1))])
    stock.host.admin["enabled"] = False
    host(stock).enable([parse_plain(key_line(2))])

    assert stock.host.keys() == [key_line(2)]


def test_a_key_that_the_owner_has_is_not_taken_out(stock: Control) -> None:
    """Handing over a key that is there already leaves it the owner's, whatever its comment."""
    document = {"ssh": {"authorized-keys": [key_line(1, "owner")]}}
    stock.host.admin["user-data"] = base64.b64encode(json.dumps(document).encode()).decode()
    host(stock).enable([parse_plain(key_line(1, "me")), parse_plain(key_line(2))])
    host(stock).disable()

    assert stock.host.keys() == [key_line(1, "owner")]


def test_what_is_added_is_remembered_before_it_is_written(stock: Control) -> None:
    """When the host fails in the middle, the key can still be taken out later."""
    stock.host.refuse["POST /tx/commit_and_apply"] = (500, "no")
    with pytest.raises(SheltieError):
        host(stock).enable([parse_plain(key_line(1))])

    assert Remembered(stock.state).load() == (key_line(1),)


def test_a_key_for_an_admin_that_is_up_throws_others_out_and_says_so(stock: Control) -> None:
    """A stock host restarts admin at every write: whoever writes while others are in is told."""
    first = stock.run("enable-admin-container", "--key", key_line(1))
    second = stock.run("enable-admin-container", "--key", key_line(2))
    again = stock.run("enable-admin-container", "--key", key_line(2))
    third = stock.json("enable-admin-container", "--key", key_line(3))
    entered = stock.run("enter-admin-container", "--key", key_line(4), stdin="exit 0\n")
    status = stock.run("control", "status")

    assert "whoever was in is out" not in first.stdout + again.stdout
    assert second.stdout.splitlines()[1] == f"note: {DROPPED}"
    assert third["notes"] == [DROPPED]
    assert entered.stderr.startswith(f"note: {DROPPED}\n")
    assert "note: it starts admin anew at every write: another key throws out" in status.stdout


def test_on_a_host_of_ours_nobody_is_thrown_out(ours: Control) -> None:
    """So there is nothing to note."""
    ours.run("enable-admin-container", "--key", key_line(1))

    assert ours.json("enable-admin-container", "--key", key_line(2))["notes"] == []
    assert "note" not in ours.run("control", "status").stdout


def test_a_memory_that_cannot_be_kept_hands_over_nothing(stock: Control) -> None:
    """Where control cannot remember, it does not add: the key could never be taken out."""
    (stock.state / "admin-keys").write_text("in the way")
    done = stock.run("enable-admin-container", "--key", key_line(1))

    assert done.returncode == 6
    assert "[KEYS_NOT_REMEMBERED]" in done.stderr
    assert stock.host.keys() == []
    assert stock.host.admin["enabled"] is False


def test_a_broken_memory_is_named(stock: Control) -> None:
    """A file that cannot be understood is an error that names it."""
    directory = stock.state / "admin-keys"
    directory.mkdir()
    (directory / "admin-keys.json").write_text("{")
    done = stock.run("disable-admin-container")

    assert done.returncode == 6
    assert str(directory / "admin-keys.json") in done.stderr


def test_the_memory_is_for_the_group_only(tmp_path: Path) -> None:
    """What boot prepares can be used by group api and by nobody else."""
    from control.remembered import prepare

    prepare(tmp_path)
    Remembered(tmp_path).save([key_line(1)])
    directory = tmp_path / "admin-keys"

    assert directory.stat().st_mode & 0o7777 == 0o2770
    assert directory.stat().st_gid == 274
    assert (directory / "admin-keys.json").stat().st_mode & 0o7777 == 0o660
    assert (directory / "admin-keys.json").stat().st_gid == 274
