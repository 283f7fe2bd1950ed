"""Transactions: whose they are, what a commit merges, and keys handed over."""

import pytest

from contract.errors import ConflictError, RefusedError, UsageError
from contract.peer import Peer
from host.callers import ADMIN_ENABLED, ADMIN_USER_DATA, HOST, Caller
from host.store.memory import MemoryStore
from host.store.transactions import HANDED_MAX, OPEN_MAX, NothingPendingError, Transactions
from tests.host.keys import encoded, key_line, keys

ADMIN = Caller("admin")
CONTROL = Caller("control")
ROOT = Peer(1, 0, 0)
USER = Peer(7, 1000, 274)


@pytest.fixture
def kept() -> Transactions:
    """Return transactions on an empty store, at a fixed time."""
    return Transactions(MemoryStore(), now=iter(map(str, range(1000))).__next__)


def commit(kept: Transactions, caller: Caller, values: dict[str, object]) -> list[str]:
    """Stage and commit in one go."""
    kept.stage(caller, "t", values)
    return kept.commit(caller, USER, "t")


def handed(kept: Transactions) -> list[str]:
    """Return the key lines handed over."""
    return [entry.key for entry in kept.live.handed]


def test_commit_merges_and_names_everything(kept: Transactions) -> None:
    """A commit adds to what is live, and names all that it held, equal values too."""
    commit(kept, HOST, {"settings.motd": "x"})

    assert commit(kept, HOST, {ADMIN_ENABLED: False, "settings.motd": "x"}) == [
        ADMIN_ENABLED,
        "settings.motd",
    ]
    assert kept.live.settings == {"settings.motd": "x", ADMIN_ENABLED: False}


def test_nothing_pending(kept: Transactions) -> None:
    """A commit of nothing is upstream's 422, also after a commit."""
    commit(kept, HOST, {"settings.motd": "x"})

    with pytest.raises(NothingPendingError, match=r"^Tried to commit with no pending changes$"):
        kept.commit(HOST, ROOT, "t")


def test_callers_do_not_share_transactions(kept: Transactions) -> None:
    """A container neither rides along on the owner's commit nor commits what the owner staged."""
    kept.stage(HOST, "default", {"settings.motd": "owner"})
    kept.stage(CONTROL, "default", {ADMIN_ENABLED: True})

    assert kept.commit(CONTROL, USER, "default") == [ADMIN_ENABLED]
    assert "settings.motd" not in kept.live.settings
    assert kept.commit(HOST, ROOT, "default") == ["settings.motd"]


def test_refused_stage_leaves_nothing(kept: Transactions) -> None:
    """A refused write drops the transaction, with what was staged in it before."""
    kept.stage(CONTROL, "t", {ADMIN_ENABLED: True})

    with pytest.raises(RefusedError):
        kept.stage(CONTROL, "t", {"settings.motd": "x"})

    assert (kept.pending(CONTROL, "t"), kept.names(CONTROL)) == ({}, [])


def test_keys_stand_beside_the_owners_value(kept: Transactions) -> None:
    """Keys handed over leave the owner's user-data as it is, and say who and since when."""
    commit(kept, HOST, {ADMIN_USER_DATA: encoded({"user": "ops"})})
    commit(kept, CONTROL, {ADMIN_USER_DATA: keys(1), ADMIN_ENABLED: True})

    (entry,) = kept.live.handed
    assert kept.live.settings[ADMIN_USER_DATA] == encoded({"user": "ops"})
    assert (entry.key, entry.caller, entry.uid, entry.since) == (key_line(1), "control", 1000, "1")


def test_second_hand_over_adds(kept: Transactions) -> None:
    """A second operator's key joins the first; the same key is one, whatever its comment."""
    commit(kept, CONTROL, {ADMIN_USER_DATA: keys(1)})
    commit(kept, CONTROL, {ADMIN_USER_DATA: keys(2)})
    again = encoded({"ssh": {"authorized-keys": [key_line(1, "renamed"), key_line(2)]}})
    commit(kept, CONTROL, {ADMIN_USER_DATA: again})

    assert handed(kept) == [key_line(1), key_line(2)]


def test_keys_add_up_within_a_transaction(kept: Transactions) -> None:
    """Two writes of keys before one commit hand over both."""
    kept.stage(CONTROL, "t", {ADMIN_USER_DATA: keys(1)})
    commit(kept, CONTROL, {ADMIN_USER_DATA: keys(2)})

    assert handed(kept) == [key_line(1), key_line(2)]


@pytest.mark.parametrize("who", [HOST, CONTROL, ADMIN], ids=str)
def test_disabling_drops_keys(kept: Transactions, who: Caller) -> None:
    """Whoever disables admin drops the keys handed over, also with keys in the same breath."""
    commit(kept, CONTROL, {ADMIN_USER_DATA: keys(1), ADMIN_ENABLED: True})
    commit(kept, who, {ADMIN_ENABLED: False})
    assert handed(kept) == []
    commit(kept, CONTROL, {ADMIN_USER_DATA: keys(2), ADMIN_ENABLED: False})

    assert handed(kept) == []


def test_door_since(kept: Transactions) -> None:
    """The door is open since it was switched on, and not since it was switched on again."""
    commit(kept, CONTROL, {ADMIN_ENABLED: True})
    commit(kept, CONTROL, {ADMIN_ENABLED: True, ADMIN_USER_DATA: keys(1)})
    assert kept.live.opened == "0"
    commit(kept, HOST, {ADMIN_ENABLED: False})

    assert kept.live.opened == ""


def test_bounds(kept: Transactions) -> None:
    """A container can fill up neither the list of keys nor the disk with transactions."""
    with pytest.raises(ConflictError, match="keys handed over"):
        commit(kept, CONTROL, {ADMIN_USER_DATA: keys(*range(HANDED_MAX + 1))})
    kept.drop(CONTROL, "t")
    for number in range(OPEN_MAX):
        kept.stage(CONTROL, str(number), {ADMIN_ENABLED: True})
    kept.stage(CONTROL, "0", {ADMIN_ENABLED: False})
    with pytest.raises(ConflictError, match="pending"):
        kept.stage(CONTROL, "more", {ADMIN_ENABLED: True})
    kept.stage(HOST, "more", {ADMIN_ENABLED: True})


@pytest.mark.parametrize("name", ["", "x" * 65, "ä" * 33])
def test_bad_transaction_names(kept: Transactions, name: str) -> None:
    """Names must fit a file name."""
    with pytest.raises(UsageError):
        kept.stage(HOST, name, {"settings.motd": "x"})
