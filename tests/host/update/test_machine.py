"""The state machine of updates, and the choice of one."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import ConflictError, NotFoundError
from contract.update import (
    Command,
    CommandResult,
    CommandStatus,
    Partition,
    UpdateImage,
    UpdateState,
    UpdateStatus,
)
from host.update import machine
from host.update.choice import Offer, offer, precedence
from host.update.seam import Other, Slots, Standing
from tests.host.update.twin import image

RUNNING = image("1.0.0")
NEW = image("1.1.0")
FIRST = UpdateStatus(active_partition=Partition(RUNNING, next_to_boot=True))
FOUND = Offer(("1.1.0",), NEW)
S, C = UpdateState, Command

TABLE = {
    C.REFRESH: {S.IDLE, S.AVAILABLE, S.STAGED, S.READY},
    C.PREPARE: {S.AVAILABLE, S.STAGED},
    C.ACTIVATE: {S.STAGED},
    C.DEACTIVATE: {S.READY},
}


def result(command: Command, *, well: bool = True) -> CommandResult:
    """Return how a command ended."""
    status = CommandStatus.SUCCESS if well else CommandStatus.FAILED
    return CommandResult(command, status, "now", int(not well), "" if well else "no")


def after(*steps: tuple[Command, bool]) -> UpdateStatus:
    """Return the status after commands, each with whether it went well."""
    status = FIRST
    for command, well in steps:
        found = FOUND if command is C.REFRESH else None
        status = machine.end(machine.begin(status, command), result(command, well=well), found)
    return status


WAYS = {
    S.IDLE: after(),
    S.AVAILABLE: after((C.REFRESH, True)),
    S.STAGED: after((C.REFRESH, True), (C.PREPARE, True)),
    S.READY: after((C.REFRESH, True), (C.PREPARE, True), (C.ACTIVATE, True)),
}


@pytest.mark.parametrize(("command", "state"), [*itertools.product(Command, UpdateState)])
def test_allowed(command: Command, state: UpdateState) -> None:
    """Each command is allowed from the states of the table; elsewhere it is 409 in its words."""
    assert WAYS[state].update_state is state
    if state in TABLE[command]:
        machine.begin(WAYS[state], command)
        return
    with pytest.raises(ConflictError) as caught:
        machine.begin(WAYS[state], command)
    assert (caught.value.http_status, caught.value.message) == (
        409,
        "Update action not allowed according to update state",
    )


def test_the_way_up_and_down() -> None:
    """Activating and deactivating say what boots next, for both partitions."""
    ready = WAYS[S.READY]
    back = machine.end(machine.begin(ready, C.DEACTIVATE), result(C.DEACTIVATE))

    assert ready.staging_partition == Partition(NEW, next_to_boot=True)
    assert ready.active_partition == Partition(RUNNING, next_to_boot=False)
    assert back.update_state is S.STAGED
    assert back.staging_partition == Partition(NEW, next_to_boot=False)
    assert back.active_partition == Partition(RUNNING, next_to_boot=True)


def test_nothing_chosen() -> None:
    """Prepare is 404 where a refresh found nothing any more."""
    gone = machine.end(WAYS[S.STAGED], result(C.REFRESH), Offer())
    with pytest.raises(NotFoundError, match=r"^Previously chosen Update no longer exists$"):
        machine.begin(gone, C.PREPARE)

    assert gone.update_state is S.STAGED


@pytest.mark.parametrize(("command", "state"), [(C.ACTIVATE, S.STAGED), (C.DEACTIVATE, S.READY)])
def test_nothing_staged(command: Command, state: UpdateState) -> None:
    """Activate and deactivate are 404 where the other partition holds nothing."""
    with pytest.raises(NotFoundError, match=r"^No update image applied to staging partition$"):
        machine.begin(UpdateStatus(update_state=state), command)


def test_a_failed_refresh() -> None:
    """It leaves none chosen; what is prepared already stays."""
    failed = after((C.REFRESH, True), (C.REFRESH, False))
    staged = machine.end(WAYS[S.READY], result(C.REFRESH, well=False))

    assert (failed.update_state, failed.chosen_update) == (S.IDLE, None)
    assert (staged.update_state, staged.staging_partition) == (
        S.READY,
        WAYS[S.READY].staging_partition,
    )


@pytest.mark.parametrize("state", [S.AVAILABLE, S.STAGED])
def test_a_failed_prepare_leaves_nothing_to_activate(state: UpdateState) -> None:
    """Half an image is none, whether the prepare failed or was never ended."""
    begun = machine.begin(WAYS[state], C.PREPARE)
    failed = machine.end(begun, result(C.PREPARE, well=False))

    for status in (begun, failed):
        assert (status.update_state, status.staging_partition) == (S.AVAILABLE, None)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(Command),
            st.booleans(),
            st.sampled_from([Offer(), FOUND, Offer(("2.0.0",), image("2.0.0"))]),
        ),
        max_size=12,
    )
)
def test_any_order(steps: list[tuple[Command, bool, Offer]]) -> None:
    """Whatever is ordered, state and partitions agree, and one of the two boots next."""
    status = FIRST
    for command, well, found in steps:
        try:
            begun = machine.begin(status, command)
        except (ConflictError, NotFoundError):
            continue
        for status in (begun, machine.end(begun, result(command, well=well), found)):
            assert status.active_partition is not None
            staged = status.staging_partition
            assert (staged is not None) == (status.update_state in {S.STAGED, S.READY})
            other = staged is not None and staged.next_to_boot
            assert other == (status.update_state is S.READY)
            assert status.active_partition.next_to_boot != other
            if status.update_state is S.AVAILABLE:
                assert status.chosen_update is not None


@pytest.mark.parametrize(
    ("offered", "lock", "expected"),
    [
        ([], None, None),
        (["1.0.0", "0.9.0"], None, None),
        (["1.1.0", "1.10.0", "1.9.0"], None, "1.10.0"),
        (["1.1.0", "1.1.1-rc.1"], "latest", "1.1.1-rc.1"),
        (["1.1.0", "1.2.0"], "1.1.0", "1.1.0"),
        (["1.1.0", "1.2.0"], "v1.1.0", "1.1.0"),
        (["0.9.0", "1.2.0"], "0.9.0", "0.9.0"),
        (["1.0.0", "1.2.0"], "1.0.0", None),
        (["1.2.0"], "3.0.0", None),
        (["latest", "x"], None, None),
    ],
)
def test_choice(offered: list[str], lock: str | None, expected: str | None) -> None:
    """The newest that is newer, or the one that the lock names."""
    chosen = offer(map(image, offered), RUNNING, lock).chosen

    assert (chosen and chosen.version) == expected


def test_other_hosts_images() -> None:
    """Images of another variant or architecture are not offered."""
    images = [image("2.0.0", variant="x"), image("2.0.0", arch="aarch64"), image("1.5.0")]

    assert offer(images, RUNNING) == Offer(("1.5.0",), image("1.5.0"))


def test_precedence() -> None:
    """The order of semver.org 2.0.0 section 11."""
    order = "0.9.9 1.0.0-1 1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2"
    order += " 1.0.0-beta.11 1.0.0-rc.1 1.0.0 1.0.1 1.2.0 1.11.0 2.0.0-0"
    versions = order.split()

    assert sorted(set(versions), key=precedence) == versions
    assert precedence("1.0.0+a") == precedence("1.0.0+b")
    with pytest.raises(ValueError, match="no semantic version"):
        precedence("1.0")


OLDER = image("0.9.0")
STANDING = [
    ([], S.IDLE, None),
    ([(NEW, Standing.STAGED)], S.STAGED, NEW),
    ([(NEW, Standing.NEXT)], S.READY, NEW),
    ([(OLDER, Standing.OLD)], S.IDLE, None),
    ([(OLDER, Standing.NEXT)], S.READY, OLDER),
    ([(NEW, Standing.SET_ASIDE)], S.IDLE, None),
    ([(OLDER, Standing.OLD), (NEW, Standing.STAGED)], S.STAGED, NEW),
]


@pytest.mark.parametrize(("others", "state", "staged"), STANDING, ids=str)
@pytest.mark.parametrize(
    "before", [UpdateStatus(), *WAYS.values()], ids=lambda one: one.update_state
)
def test_what_is_found(
    others: list[tuple[UpdateImage, Standing]],
    state: UpdateState,
    staged: UpdateImage | None,
    before: UpdateStatus,
) -> None:
    """Whatever was remembered, what the engine finds counts; a choice stays while it is one."""
    slots = Slots(RUNNING, [Other(one, standing) for one, standing in others])
    status = machine.found(before, slots, at_start=True)
    failed = (NEW, Standing.SET_ASIDE) in others
    chosen = None if failed else before.chosen_update
    is_free = state is S.IDLE and chosen is not None

    assert status.update_state is (S.AVAILABLE if is_free else state)
    assert status.staging_partition == (staged and Partition(staged, next_to_boot=state is S.READY))
    assert status.active_partition == Partition(RUNNING, next_to_boot=state is not S.READY)
    assert status.chosen_update == chosen
    assert status.most_recent_command == before.most_recent_command


def test_an_update_that_runs_is_chosen_no_more() -> None:
    """After the reboot into it nothing is to be done."""
    status = machine.found(WAYS[S.READY], Slots(NEW, [Other(RUNNING, Standing.OLD)]))

    assert (status.update_state, status.chosen_update) == (S.IDLE, None)
    assert status.active_partition == Partition(NEW, next_to_boot=True)
