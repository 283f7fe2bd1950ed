"""The measuring of a container's start measures."""

from pathlib import Path

import pytest

from dev.bench_runtime import in_standin
from tests.host.image import tiny


@pytest.mark.privileged
@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_a_start_is_measured(tmp_path: Path, runtime: str) -> None:
    """Both sides take time, and ours is of the other's order: the goal itself is the bench's."""
    tiny.write(tmp_path / "layout")
    found = in_standin(tmp_path / "layout", runtime, rounds=3)

    assert found.runtime == runtime
    assert 0 < found.bare <= found.bare_with_root
    assert 0.5 < found.ratio < 10
