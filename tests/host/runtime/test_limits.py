"""Limits from the size of a host, in OCI's words, and what is left out where a controller lacks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.status import Limits
from host.runtime.limits import (
    CONTROLLERS,
    LEAST_MEMORY,
    UNLIMITED,
    HostSize,
    kept,
    lacking,
    limits,
    resources,
)

GIB = 1 << 30
sizes = st.builds(
    HostSize,
    st.integers(min_value=64 << 20, max_value=1 << 45),
    st.integers(min_value=1, max_value=1024),
    st.integers(min_value=301, max_value=1 << 22),
)


def test_a_usual_host() -> None:
    """Half of everything for who is superpowered, a quarter of the memory for who is not."""
    size = HostSize(16 * GIB, 4, 32768)

    assert limits(size, superpowered=True) == Limits(8 * GIB, 2.0, 2048)
    assert limits(size, superpowered=False) == Limits(4 * GIB, 2.0, 2048)


def test_a_small_host() -> None:
    """The door gets what it needs to open, also where that is more than its part."""
    size = HostSize(192 << 20, 1, 1024)

    assert limits(size, superpowered=True) == Limits(LEAST_MEMORY, 0.5, 512)


@given(sizes, st.booleans())
def test_something_is_left_for_the_host(size: HostSize, superpowered: bool) -> None:
    """No limit is above what there is, and none is nothing."""
    found = limits(size, superpowered=superpowered)

    assert 0 < found.memory <= size.memory
    assert 0 < found.cpu <= size.cpus
    assert 0 < found.pids <= size.pids // 2
    if size.memory >= 4 * LEAST_MEMORY:
        both = limits(size, superpowered=True).memory + limits(size, superpowered=False).memory
        assert both <= size.memory * 3 // 4


def test_limits_in_ocis_words() -> None:
    """Bytes, shares and a quota of the period, processes (config-linux.md)."""
    assert resources(Limits(64 << 20, 1.5, 100)) == {
        "memory": {"limit": 64 << 20},
        "cpu": {"shares": 512, "quota": 150_000, "period": 100_000},
        "pids": {"limit": 100},
    }
    assert resources(UNLIMITED) == {}


@pytest.mark.parametrize("missing", CONTROLLERS)
def test_a_missing_controller_is_not_asked_for_and_said(missing: str) -> None:
    """The others still limit."""
    there = set(CONTROLLERS) - {missing}
    found = kept(Limits(1, 1.0, 1), there)

    assert set(resources(found)) == there
    assert missing in lacking(there)
    assert lacking(CONTROLLERS) == ""
