"""Every Store keeps the same promises: the one on disk and its twin in memory."""

from collections.abc import Callable
from pathlib import Path

import pytest

from contract.errors import NotFoundError
from host.store.files import FileStore
from host.store.memory import MemoryStore
from host.store.state import Generation, Handed, Live, Origin, Store

KEY = Handed("ssh-ed25519 AAAA", "control", 1000, "2026-01-01T00:00:00Z")
LIVE = Live({"settings.motd": "hello"}, (KEY,), 1, "2026-01-01T00:00:00Z")


@pytest.fixture(params=["file", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Return what opens the store; the one on disk opens the same directory each time."""
    if request.param == "memory":
        return MemoryStore
    return lambda: FileStore(tmp_path / "settings")


def test_new_store_is_empty(make: Callable[[], Store]) -> None:
    """A new store holds nothing."""
    store = make()

    assert (Live(), {}, []) == (store.live(), store.pending("host", "a"), store.names("host"))


def test_replace_is_seen(make: Callable[[], Store]) -> None:
    """What was committed is what is live."""
    store = make()
    store.replace(LIVE)

    assert store.live() == LIVE


def test_pending_is_kept_by_owner_and_name(make: Callable[[], Store]) -> None:
    """A transaction belongs to one owner and has one name."""
    store = make()
    store.put("host", "a", {"settings.motd": "x"})
    store.put("control", "a", {"settings.motd": "y"})

    assert store.pending("host", "a") == {"settings.motd": "x"}
    assert store.pending("control", "a") == {"settings.motd": "y"}
    assert store.pending("host", "b") == {}
    assert list(store.names("host")) == ["a"]


def test_put_replaces_and_nothing_removes(make: Callable[[], Store]) -> None:
    """Putting writes the transaction anew, and putting nothing removes it."""
    store = make()
    store.put("host", "a", {"settings.motd": "x"})
    store.put("host", "a", {"settings.motd": "y"})
    assert store.pending("host", "a") == {"settings.motd": "y"}
    store.put("host", "a", {})

    assert (store.pending("host", "a"), list(store.names("host"))) == ({}, [])


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a.b", "ä" * 32, "\0", "%2e", "~x", " "])
def test_any_name_is_a_name(make: Callable[[], Store], name: str) -> None:
    """Names are free text, whatever they would mean to a file system."""
    store = make()
    store.put("host", name, {"settings.motd": "x"})

    assert store.pending("host", name) == {"settings.motd": "x"}
    assert list(store.names("host")) == [name]


def test_generations_are_kept(make: Callable[[], Store]) -> None:
    """Each commit can be looked at later, as it was, with where it came from."""
    store = make()
    origin = Origin("2026-01-01T00:00:00Z", "host uid 0", ("settings.motd",))
    second = Live({"settings.motd": "x"}, (), 2, "", origin)
    assert list(store.generations()) == []
    store.replace(LIVE)
    store.replace(second)

    assert list(store.generations()) == [Generation(1, LIVE.origin), Generation(2, origin)]
    assert (store.generation(1), store.generation(2)) == (LIVE, second)
    assert list(store.problems) == []


@pytest.mark.parametrize("number", [0, 2, 10**12])
def test_no_such_generation(make: Callable[[], Store], number: int) -> None:
    """One that was never made, or is kept no more, is said to be gone."""
    store = make()
    store.replace(LIVE)

    with pytest.raises(NotFoundError, match=f"no generation {number}"):
        store.generation(number)


def test_what_goes_is_pending_too(make: Callable[[], Store]) -> None:
    """A transaction can hold names that go."""
    store = make()
    store.put("host", "a", {"settings.motd": None})

    assert store.pending("host", "a") == {"settings.motd": None}
