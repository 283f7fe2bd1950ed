"""A house with real sockets, one for each kind of caller, in the test's own loop."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from contract.audit.sink import MemorySink
from host import wanted
from host.api.limits import Limits
from host.api.listener import Listener
from host.audit.trail import Trail
from host.callers import HOST, Caller
from host.house import House
from host.policy import OURS, STOCK, Policy
from host.store.memory import MemoryStore
from host.store.transactions import Transactions
from host.update.updates import Updates
from tests.host.api.client import Answer, ExecClient, ask
from tests.host.local import LocalContainers
from tests.host.update.twin import TwinEngine, image

CALLERS = {name: Caller(name) for name in ("control", "admin", "other")} | {"host": HOST}
CONTAINERS = ("control", "admin", "other")
OS = {
    "pretty_name": "Test 1",
    "variant_id": "test",
    "version_id": "1.0.0",
    "build_id": "b",
    "arch": "x86_64",
}


class NotedDoors:
    """Doors' twin: notes for whom sockets are wanted."""

    def __init__(self) -> None:
        self.wanted: list[str] = []

    async def want(self, names: Iterable[str]) -> None:
        """Take note."""
        self.wanted = sorted(names)


@dataclass
class Site:
    """A house and a socket for each caller."""

    house: House
    containers: LocalContainers
    doors: NotedDoors
    directory: Path
    limits: Limits
    engine: TwinEngine
    listeners: dict[str, Listener] = field(default_factory=dict)
    clients: list[ExecClient] = field(default_factory=list)

    def socket(self, who: str = "host") -> Path:
        """Return the caller's socket."""
        return self.directory / who

    async def ask(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        who: str = "host",
        kind: str = "application/json",
    ) -> Answer:
        """Ask once over the caller's socket."""
        return await ask(self.socket(who), method, target, body, kind)

    async def write(self, body: Any, *, who: str = "host") -> Answer:
        """Patch, commit and apply as the caller does."""
        answer = await self.ask("PATCH", "/settings?tx=set", body, who=who)
        if answer.status != 204:
            return answer
        return await self.ask("POST", "/tx/commit_and_apply?tx=set", who=who)

    def offer(self, *versions: str) -> None:
        """Let the update engine offer these versions."""
        self.engine.offered = [image(version) for version in versions]

    async def exec(self, who: str = "host") -> ExecClient:
        """Open an exec over the caller's socket."""
        client = await ExecClient.open(self.socket(who))
        self.clients.append(client)
        return client

    async def open(self) -> None:
        """Listen."""
        for name, caller in CALLERS.items():
            if caller is not HOST:
                caller = self.house.policy.caller(name)  # noqa: PLW2901  as ContainerDoors does
            self.listeners[name] = Listener(self.house, caller, self.socket(name), self.limits)
            await self.listeners[name].open()


@pytest.fixture
def limits() -> Limits:
    """Return the limits of the sockets; tests of limits have their own."""
    return Limits()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on a host of ours and on a stock one, unless it is about ours alone.

    Ours alone is what lies below /sheltie/v1/, and what is marked so; `stock` marks the reverse.
    """
    if "policy" not in metafunc.fixturenames:
        return
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    policies = [OURS, STOCK]
    if "ours" in marks or metafunc.definition.path.parent.name == "v1":
        policies = [OURS]
    elif "stock" in marks:
        policies = [STOCK]
    metafunc.parametrize("policy", policies, ids=lambda policy: policy.name)


@pytest.fixture
async def site(limits: Limits, policy: Policy) -> AsyncIterator[Site]:
    """Give a house where control, admin and another container are enabled."""
    directory = Path(tempfile.mkdtemp(prefix="api-", dir="/tmp"))
    containers, doors, engine = LocalContainers(), NotedDoors(), TwinEngine()
    transactions = Transactions(MemoryStore())
    audit = Trail(MemorySink())
    updates = Updates(engine, lambda: wanted.updates(transactions.live), note=audit.note)
    house = House(
        transactions,
        containers,
        doors,
        os_info=lambda: OS,
        updates=updates,
        audit=audit,
        log_of=lambda name: directory / f"{name}.log",
        policy=policy,
    )
    # Nothing that runs in a test may reboot the machine.
    house.reboot_command = ["false"]
    site = Site(house, containers, doors, directory, limits, engine)
    await site.open()
    enabled = {name: {"enabled": True} for name in CONTAINERS}
    assert (await site.write({"host-containers": enabled})).status == 200
    yield site
    for client in site.clients:
        await client.closed()
    for listener in site.listeners.values():
        await listener.hang_up()
    await house.reboots.close()
    await updates.close()
    left = [process for process in containers.processes if not process.ended]
    shutil.rmtree(directory)
    assert left == []
