"""What the audit makes of containers' states and of callers."""

from typing import Any

import pytest

from contract.event import (
    ContainerAdopted,
    ContainerFailed,
    ContainerStarted,
    ContainerStopped,
    Event,
)
from contract.peer import Peer
from contract.status import ContainerState as S
from contract.status import ContainerStatus
from host.audit import changes
from host.audit.calls import who
from host.callers import Caller

STATES: list[tuple[list[tuple[S, int, str]], list[Event]]] = [
    ([(S.RUNNING, 7, "")], [ContainerAdopted("x", 7, "i")]),
    ([(S.STARTING, 0, ""), (S.RUNNING, 7, "")], [ContainerStarted("x", 7, "i")]),
    (
        [(S.RUNNING, 7, ""), (S.STOPPING, 7, ""), (S.DISABLED, 0, "")],
        [ContainerAdopted("x", 7, "i"), ContainerStopped("x", 0)],
    ),
    (
        [(S.RUNNING, 7, ""), (S.STOPPING, 7, ""), (S.STARTING, 0, ""), (S.RUNNING, 8, "")],
        [ContainerAdopted("x", 7, "i"), ContainerStopped("x", 0), ContainerStarted("x", 8, "i")],
    ),
    (
        [(S.RUNNING, 7, ""), (S.WAITING, 0, "it ended"), (S.STARTING, 0, ""), (S.RUNNING, 8, "")],
        [
            ContainerAdopted("x", 7, "i"),
            ContainerFailed("x", "it ended", 0),
            ContainerStarted("x", 8, "i"),
        ],
    ),
    (
        [(S.STARTING, 0, ""), (S.WAITING, 0, "why")] * 3
        + [(S.STARTING, 0, ""), (S.RUNNING, 7, "")],
        [ContainerFailed("x", "why"), ContainerStarted("x", 7, "i")],
    ),
    (
        [(S.RUNNING, 7, ""), (S.RUNNING, 7, "cannot write")],
        [ContainerAdopted("x", 7, "i"), ContainerFailed("x", "cannot write")],
    ),
]


@pytest.mark.parametrize(("states", "expected"), STATES)
def test_containers(states: list[tuple[S, int, str]], expected: list[Event]) -> None:
    """Each way of a container has its events; what fails in the same way again is told once."""
    noted: list[Any] = []

    def note(event: Event) -> int:
        noted.append(event)
        return len(noted)

    containers = changes.Containers(note)
    for state, pid, reason in states:
        up = state in {S.RUNNING, S.STOPPING}
        containers.seen(
            ContainerStatus("x", up, state, "now", pid=pid, image="i", last_exit=0, reason=reason)
        )

    assert noted == expected


def test_outside() -> None:
    """A peer outside the daemon's pid namespace keeps its socket's name, and is told as outside."""
    found = who(Caller("control"), Peer(0, 0, 0))

    assert (found.caller, found.pid, found.outside) == ("control", 0, True)
