"""Stand-in hosts for tests: made on request, and nothing of them may be left."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dev import cgroups
from dev.standin import Standin, bring_down, bring_up

CLONE = Path(__file__).resolve().parents[2]


@dataclass
class Made:
    """A stand-in and the record it is remembered in."""

    standin: Standin
    record: Path
    state: Path


Make = Callable[..., Made]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A maker of stand-ins with a state directory each; all are ended after the test."""
    made: list[Made] = []

    def build(where: Path = tmp_path, **options: bool) -> Made:
        state = where / f"state-{len(made)}"
        state.mkdir(parents=True)
        record = tmp_path / f"record-{len(made)}.json"
        standin = bring_up(record=record, binds=[CLONE], state=state, **options)
        made.append(Made(standin, record, state))
        return made[-1]

    yield build
    for one in made:
        bring_down(one.record)


def leftovers() -> list[str]:
    """Return every cgroup on the machine that is a stand-in's."""
    found = cgroups.hierarchies(
        Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text()
    )
    return [str(path) for one in found for path in one.here.glob("standin-*")]
