"""A reboot waits for who is in admin, up to a limit."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from contract.errors import FailedError
from contract.event import Event, RebootDeferred
from contract.execwire import Size
from contract.status import ContainerState, ContainerStatus
from host import sessions
from host.desired import Desired, ExecProcess
from host.rebooting import Reboots
from tests.host.local import LocalContainers

ANSWER = '{"id":1,"result":{"ready":true,"user":"u","sessions":[%s]}}'
SESSION = '{"id":"1","user":"u","since":"x","peer":"p","key":"k"}'


class Host:
    """Who is in, and whether the host was rebooted."""

    def __init__(self, place: Path, limit: float = 60.0, sessions: int = 1) -> None:
        self.mark = place / "rebooted"
        self.sessions, self.limit = sessions, limit
        self.asked = asyncio.Event()
        self.noted: list[Event] = []
        self.command = ["touch", str(self.mark)]
        self.reboots = Reboots(
            lambda: self.command, self._count, lambda: self.limit, self.noted.append, pace=0.01
        )

    async def _count(self) -> int:
        self.asked.set()
        return self.sessions

    async def rebooted(self) -> bool:
        """Wait until no reboot waits; return whether the command ran."""
        async with asyncio.timeout(30):
            while self.reboots.waiting is not None:
                self.asked.clear()
                await asyncio.wait({asyncio.create_task(self.asked.wait())}, timeout=0.05)
        return self.mark.exists()


async def test_nobody_is_in(tmp_path: Path) -> None:
    """It reboots at once, and what goes wrong is told to who ordered."""
    host = Host(tmp_path, sessions=0)
    await host.reboots.order()
    assert (host.mark.exists(), host.noted, host.reboots.problems) == (True, [], [])
    host.command = ["false"]
    with pytest.raises(FailedError):
        await host.reboots.order()


async def test_somebody_is_in(tmp_path: Path) -> None:
    """It waits until they are gone; status says so; a second order changes nothing."""
    host = Host(tmp_path, sessions=2)
    await host.reboots.order()
    await host.reboots.order()
    [problem] = host.reboots.problems
    assert not host.mark.exists()
    host.sessions = 0

    assert await host.rebooted()
    assert problem.startswith("a reboot waits for 2 sessions in admin, until 20")
    assert (host.noted, host.reboots.problems) == ([RebootDeferred(2, 60)], [])


async def test_up_to_a_limit(tmp_path: Path) -> None:
    """After that it reboots whoever is in; with a limit of 0 it does not ask."""
    host = Host(tmp_path, limit=0.2)
    await host.reboots.order()
    assert await host.rebooted()
    host = Host(tmp_path / "none", limit=0)
    host.command = ["true"]
    await host.reboots.order()

    assert not host.asked.is_set()


async def test_a_daemon_that_ends_forgets_it(tmp_path: Path) -> None:
    """Closing is the end of waiting."""
    host = Host(tmp_path)
    await host.reboots.order()
    await host.reboots.close()

    assert not await host.rebooted()


class AdminContainers(LocalContainers):
    """Containers whose admin answers with `words`, or is in another state."""

    def __init__(self, words: str, state: ContainerState = ContainerState.RUNNING) -> None:
        super().__init__()
        self.words, self.state = words, state
        self.desired = {"admin": Desired("admin", enabled=True)}

    def status(self) -> list[ContainerStatus]:
        """Return admin alone."""
        return [ContainerStatus("admin", enabled=True, state=self.state, since="now")]

    async def exec(self, name: str, command: Sequence[bytes], *, size: Size | None) -> ExecProcess:
        """Run what answers."""
        assert (name, command, size) == ("admin", [b"admin", b"rpc"], None)
        return await super().exec(name, [b"sh", b"-c", self.words.encode()], size=None)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (f"read line; echo noise >&2; echo '{ANSWER % ''}'", 0),
        (f"read line; echo '{ANSWER % SESSION}'", 1),
        (f"read line; echo '{ANSWER % ','.join([SESSION] * 3)}'", 3),
        ("exit 1", 1),
        ("echo no JSON", 1),
        ("echo '{}'", 1),
    ],
)
async def test_admins_own_word(words: str, expected: int) -> None:
    """It is asked who is in; one that gives no answer may have somebody in."""
    assert await sessions.count(AdminContainers(words)) == expected


async def test_an_admin_that_does_not_run(tmp_path: Path) -> None:
    """Nobody is in what is not there."""
    assert await sessions.count(AdminContainers("", ContainerState.DISABLED)) == 0
    assert await sessions.count(LocalContainers()) == 0
