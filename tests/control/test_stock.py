"""What only a stock host needs: control remembers which keys it added."""

import base64
import json
from pathlib import Path

import pytest

from contract.apiclient.client import HostApi
from contract.errors import SheltieError
from contract.keyline import parse_plain
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
