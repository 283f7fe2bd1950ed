"""Limits on strangers, by a clock and dice of our own."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from admin.ssh.control import Limits
from admin.ssh.limits import SOURCES_MAX, Gatekeeper, Outcome, Throttle, source_of
from admin.ssh.sources import parse_networks


@dataclass
class World:
    """A gatekeeper with a clock that is set and dice that are loaded."""

    limits: Limits = field(default_factory=Limits)
    now: float = 1000.0
    dice: float = 0.99

    def __post_init__(self) -> None:
        self.gate = Gatekeeper(self.limits, lambda: self.now, lambda: self.dice)

    def storm(self, address: str, count: int) -> int:
        """Return how many of `count` connections at once are admitted."""
        return sum(not self.gate.admit(address) for _ in range(count))


def address(number: int) -> str:
    """Return one of many addresses."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::1", True),
    ],
)
def test_a_source_is_an_address_or_a_64(one: str, other: str, same: bool) -> None:
    """IPv4 by the address, IPv6 by the /64 that one machine is given."""
    assert (source_of(one) == source_of(other)) is same


def test_forty_at_once_get_in() -> None:
    """A fleet of scripts behind one address is no attack."""
    world = World(dice=0.0)

    assert world.storm("192.0.2.1", 40) == 40


def test_one_source_cannot_take_all() -> None:
    """A thousand from one source leave room for every other one."""
    world = World(dice=0.0)
    taken = world.storm("192.0.2.1", 1000)

    assert taken == world.limits.per_source
    assert world.gate.admit("198.51.100.1") == ""


def test_many_sources_are_dropped_by_chance_and_then_surely() -> None:
    """MaxStartups: none below the start, all from the full number on, between them by dice."""
    unlucky, lucky = World(dice=0.0), World(dice=0.99999)
    few = sum(not unlucky.gate.admit(address(number)) for number in range(1000))
    many = sum(not lucky.gate.admit(address(number)) for number in range(1000))

    assert few == unlucky.limits.startups
    assert many <= lucky.limits.startups_full
    assert many > few


@given(st.floats(0, 0.999), st.integers(0, 500))
def test_more_strangers_never_mean_a_better_chance(dice: float, others: int) -> None:
    """Random early drop grows with the number of those who wait."""
    world = World(dice=dice)
    for number in range(others):
        world.gate._count = number
        if world.gate._drops():
            world.gate._count = number + 1
            assert world.gate._drops()
            return


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(["open", "login", "left", "failed", "later"])),
        max_size=200,
    )
)
def test_counts_never_go_astray(story: list[tuple[int, str]]) -> None:
    """Whatever comes and goes: the counts are those of a plain list, and end at nothing."""
    world = World(structs.replace(Limits(), startups=5, startups_full=9, per_source=3))
    strangers: list[str] = []
    known: list[str] = []
    for number, what in story:
        where = address(number)
        match what:
            case "open":
                if not world.gate.admit(where):
                    strangers.append(where)
            case "login" if where in strangers:
                world.gate.logged_in(where)
                strangers.remove(where)
                known.append(where)
            case "left" if where in known:
                world.gate.left(where, Outcome.LOGGED_IN)
                known.remove(where)
            case "failed" if where in strangers:
                world.gate.left(where, Outcome.FAILED)
                strangers.remove(where)
            case "later":
                world.now += 60
        assert world.gate.strangers == len(strangers) <= 9
        assert all(strangers.count(one) <= 3 for one in strangers)
    for one in strangers:
        world.gate.left(one, Outcome.LEFT)
    for one in known:
        world.gate.left(one, Outcome.LOGGED_IN)
    assert (world.gate.strangers, world.gate._known, world.gate._strangers) == (0, 0, {})


def test_guessing_is_punished_and_forgiven() -> None:
    """Five refused connections, and the source is out for a while; then it is free again."""
    world = World()
    tried = 0
    while not world.gate.admit("192.0.2.1"):
        world.gate.left("192.0.2.1", Outcome.FAILED)
        tried += 1
        assert tried < 20

    assert tried == 5
    assert world.gate.admit("192.0.2.2") == ""
    world.now += 30
    assert world.gate.admit("192.0.2.1") == ""


def test_a_mistake_or_two_cost_nothing() -> None:
    """The wrong key first, then the right one."""
    world = World()
    for _ in range(3):
        assert world.gate.admit("192.0.2.1") == ""
        world.gate.left("192.0.2.1", Outcome.FAILED)

    assert world.gate.admit("192.0.2.1") == ""


def test_a_scanner_of_ones_own_is_no_attack() -> None:
    """A hundred connections that only look, and a login after 30 seconds at the latest."""
    world = World()
    for _ in range(100):
        assert world.gate.admit("192.0.2.1") == ""
        world.gate.left("192.0.2.1", Outcome.LEFT)
        world.now += 0.05
    world.now += 30

    assert world.gate.admit("192.0.2.1") == ""


@given(st.lists(st.sampled_from(list(Outcome)[1:]), max_size=500))
def test_a_penalty_has_an_end(ends: list[Outcome]) -> None:
    """However bad: after the longest penalty the source may knock again."""
    world = World()
    for outcome in ends:
        if not world.gate.admit("192.0.2.1"):
            world.gate.left("192.0.2.1", outcome)
    world.now += world.limits.penalty_max

    assert world.gate.admit("192.0.2.1") == ""


def test_exempt_networks_pay_nothing() -> None:
    """For them neither penalties nor limits of strangers count, only the number of all."""
    world = World(structs.replace(Limits(), connections=300))
    world.gate.exempt = parse_networks(["192.0.2.0/24"])
    for _ in range(50):
        world.gate.admit("192.0.2.1")
        world.gate.left("192.0.2.1", Outcome.CRASHED)

    assert world.storm("192.0.2.1", 1000) == 300


def test_memory_is_bounded() -> None:
    """A hundred thousand sources leave a table of a few thousand, and the worst stay in it."""
    world = World()
    world.gate.admit("192.0.2.1")
    world.gate.left("192.0.2.1", Outcome.CRASHED)
    throttle = Throttle(lambda: world.now)
    for number in range(20_000):
        world.gate.admit(address(number))
        world.gate.left(address(number), Outcome.FAILED)
        throttle.tell(address(number))

    assert len(world.gate._debts) <= SOURCES_MAX
    assert len(throttle._told) <= SOURCES_MAX
    assert world.gate.admit("192.0.2.1") != ""


def test_one_line_for_a_source_and_minute() -> None:
    """What is left out is counted in the next line."""
    world = World()
    throttle = Throttle(lambda: world.now)

    assert [throttle.tell("192.0.2.1") for _ in range(100)] == [0, *[None] * 99]
    assert throttle.tell("192.0.2.2") == 0
    world.now += 60
    assert throttle.tell("192.0.2.1") == 99
    assert throttle.tell("192.0.2.1") is None
