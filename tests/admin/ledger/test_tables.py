"""The difference of two snapshots is exactly what is otherwise, whatever the rows are."""

from collections import Counter

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from admin.ledger.tables import (
    Account,
    Change,
    Fact,
    Kept,
    Module,
    Mount,
    Namespace,
    Process,
    Row,
    Rule,
    Snapshot,
    Socket,
    Sysctl,
    Unit,
    differences,
    plain,
)

few = st.sampled_from(["a", "b", "/c d", "/e\n"])
mounts = st.builds(Mount, few, few, few, few, few)
accounts = st.builds(Account, st.sampled_from(["user", "group"]), few, few)
rows = st.lists(st.one_of(mounts, accounts), max_size=8)
snapshots = st.builds(
    Snapshot,
    st.lists(mounts).map(tuple),
    st.lists(st.builds(Sysctl, few, few), unique_by=lambda one: one.path).map(tuple),
    st.lists(st.builds(Module, few)).map(tuple),
    st.lists(st.builds(Socket, few, few, few)).map(tuple),
    st.lists(st.builds(Unit, few)).map(tuple),
    st.lists(accounts).map(tuple),
    st.lists(st.builds(Kept, few, few, few)).map(tuple),
    st.lists(st.builds(Namespace, few, st.integers(0, 3), few)).map(tuple),
    st.lists(st.builds(Rule, few, few)).map(tuple),
    st.lists(st.builds(Fact, few, few), unique_by=lambda one: one.fact).map(tuple),
    st.lists(st.builds(Process, st.integers(1, 3), st.just(1), st.integers(0, 2), few,
                       st.just(0), few)).map(tuple),
)  # fmt: skip


def counted(table: list[Row]) -> Counter[tuple[str, str]]:
    """Return how often each name is there with each value."""
    return Counter((one.name, one.value) for one in table)


@given(rows)
def test_nothing_differs_from_itself(table: list[Row]) -> None:
    """No difference, in whatever order the rows are read."""
    assert list(differences(table, list(reversed(table)))) == []


@given(rows, rows)
def test_the_difference_leads_from_one_to_the_other(before: list[Row], after: list[Row]) -> None:
    """What was, without what went and with what came, is what is."""
    found = counted(before)
    for one in differences(before, after):
        if one.what in ("removed", "changed"):
            found[one.name, one.before] -= 1
        if one.what in ("added", "changed"):
            found[one.name, one.after] += 1

    assert +found == counted(after)
    assert min(found.values(), default=0) >= 0


@given(rows, rows)
def test_the_way_back_is_the_reverse(before: list[Row], after: list[Row]) -> None:
    """Each change backwards is its opposite: as many of each kind, of the same things."""
    there = Counter((one.name, one.what) for one in differences(before, after))
    back = Counter((one.name, one.what) for one in differences(after, before))

    opposite = {"added": "removed", "removed": "added", "changed": "changed"}
    assert Counter({(name, opposite[what]): n for (name, what), n in there.items()}) == back


@given(snapshots, snapshots)
def test_a_snapshot_survives_its_message(before: Snapshot, after: Snapshot) -> None:
    """What a child reads and sends is what is compared."""
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(after), type=Snapshot)

    assert before.changes(sent) == before.changes(after)
    assert after.changes(sent) == []


def test_an_unread_table_is_left_out() -> None:
    """What one of both could not read is no change."""
    full = Snapshot(modules=(Module("m"),), units=(Unit("u.service"),))
    blind = Snapshot(unread={"modules": "EIO"}, units=(Unit("u.service"), Unit("v.service")))

    assert full.changes(blind) == [Change("unit", "added", "v.service")]


def test_settings_and_facts_do_not_come_or_go() -> None:
    """Those of an interface that comes are no news; a new value is."""
    before = Snapshot(sysctls=(Sysctl("a", "1"),), facts=(Fact("taint", "none"),))
    after = Snapshot(
        sysctls=(Sysctl("a", "1"), Sysctl("net/eth9", "1")), facts=(Fact("taint", "OE"),)
    )

    assert before.changes(after) == [Change("kernel", "changed", "taint", "none", "OE")]


def test_a_module_that_was_loaded_is_named() -> None:
    """Modules come and go by name."""
    changes = Snapshot(modules=(Module("a"),)).changes(Snapshot(modules=(Module("b"),)))

    assert [one.line() for one in changes] == [
        "module removed: a; meanwhile, by whom is not known",
        "module added: b; meanwhile, by whom is not known",
    ]


@given(st.binary())
def test_any_name_can_be_told(name: bytes) -> None:
    """Bytes that are no UTF-8 stay readable, and fit into every message."""
    text = plain(name.decode(errors="surrogateescape"))

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(text)) == text
