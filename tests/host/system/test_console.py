"""The host's console beside admin: whoever holds the lock on the device has it."""

import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.terminal import Terminal

ARGV = [sys.executable, "-I", "-m", "host.system.console"]
GREETING = "Nobody logs in here"


def lock(device: Path) -> int:
    """Attend the console, as admin does."""
    held = os.open(device, os.O_RDONLY | os.O_NOCTTY)
    fcntl.flock(held, fcntl.LOCK_EX)
    return held


@pytest.fixture
def console() -> Iterator[Terminal]:
    """A console with the host's program on it."""
    with Terminal(ARGV) as terminal:
        yield terminal


def test_it_yields_to_admin_and_comes_back(console: Terminal) -> None:
    """Greeting, silence while admin attends, the greeting again when admin is down."""
    console.expect(GREETING)
    held = lock(Path(f"/proc/{console.process.pid}/fd/0").readlink())
    with pytest.raises(AssertionError, match="no 'Nobody"):
        console.expect(GREETING, 2)
    os.close(held)
    console.expect(GREETING)
    assert console.process.poll() is None


def test_enter_leads_into_control(console: Terminal) -> None:
    """Here there is none, and it says why; then it ends, to be started anew."""
    console.expect(GREETING)
    console.keys("\r")
    console.expect("control")

    assert console.wait() != 0
