"""The twin, crun and runc keep the runtime's promises, and /exec's. Inside a stand-in host."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from contract.errors import NotFoundError
from contract.execwire import Size
from contract.status import ContainerStatus
from host.desired import Containers, Desired, ExecProcess
from host.runtime.files import Files
from tests.conformance.exec_promises import ExecPromises
from tests.conformance.runtime_promises import RuntimePromises, Stage
from tests.host.runtime.bench import Bench, everything, settled
from tests.host.runtime.twin import TwinRuntime

pytest_plugins = ("tests.host.inside",)
INSIDE = True
pytestmark = [
    pytest.mark.privileged,
    pytest.mark.timeout(300),
]


@pytest.fixture
def bench(tmp_path: Path, runtime: str) -> Iterator[Bench]:
    """A bench with the runtime of the class; nothing of it is left afterwards."""
    before = everything()
    with Bench.set_up(tmp_path, runtime) as bench:
        yield bench
    assert settled(before) == before


class Entered:
    """Containers for /exec: `admin` runs by a real runtime."""

    def __init__(self, bench: Bench) -> None:
        self.problems: Sequence[str] = ()
        self._bench = bench

    async def apply(self, desired: Mapping[str, Desired]) -> None:
        """Nothing changes here."""

    def status(self) -> Sequence[ContainerStatus]:
        """Nobody asks."""
        return []

    async def exec(self, name: str, command: Sequence[bytes], *, size: Size | None) -> ExecProcess:
        """Start a command in `admin`."""
        if name != "admin":
            raise NotFoundError("not running", code="CONTAINER_NOT_RUNNING")
        return await self._bench.runtime.exec(self._bench.files(name), command, size=size)


class Real:
    """Fixtures for a real runtime."""

    @pytest.fixture
    async def stage(self, bench: Bench) -> AsyncIterator[Stage]:
        """Containers from the tiny image."""

        async def prepare(name: str, args: Sequence[str]) -> tuple[Files, dict[str, Any]]:
            return bench.files(name), await bench.prepare(name, args)

        yield Stage(bench.runtime, prepare)
        await bench.clear("one")

    @pytest.fixture
    async def containers(self, bench: Bench) -> AsyncIterator[Entered]:
        """A running container `admin`."""
        config = await bench.prepare("admin", ["sleep", "600"])
        task = await bench.runtime.run(bench.files("admin"), config)
        yield Entered(bench)
        task.close()
        await bench.clear("admin")


class TestTwin(RuntimePromises):
    """Processes of this host."""

    @pytest.fixture
    async def stage(self, tmp_path: Path) -> AsyncIterator[Stage]:
        """Containers that are none."""
        runtime = TwinRuntime()

        async def prepare(name: str, args: Sequence[str]) -> tuple[Files, dict[str, Any]]:
            return Files(tmp_path, tmp_path, name), {"process": {"args": list(args)}}

        yield Stage(runtime, prepare)
        await runtime.delete(Files(tmp_path, tmp_path, "one"))


class TestCrun(Real, RuntimePromises):
    """crun."""

    @pytest.fixture
    def runtime(self) -> str:
        """The program."""
        return "crun"


class TestRunc(Real, RuntimePromises):
    """runc."""

    @pytest.fixture
    def runtime(self) -> str:
        """The program."""
        return "runc"


class TestPodmanWithCrun(Real, RuntimePromises):
    """podman over crun."""

    @pytest.fixture
    def runtime(self) -> str:
        """The program."""
        return "podman/crun"


class TestPodmanWithRunc(Real, RuntimePromises):
    """podman over runc."""

    @pytest.fixture
    def runtime(self) -> str:
        """The program."""
        return "podman/runc"


class TestExecByCrun(Real, ExecPromises):
    """Commands by crun."""

    @pytest.fixture
    def runtime(self) -> str:
        """The program."""
        return "crun"


class TestExecByRunc(Real, ExecPromises):
    """Commands by runc."""

    @pytest.fixture
    def runtime(self) -> str:
        """The program."""
        return "runc"

    async def test_arguments_are_bytes(self, containers: Containers) -> None:
        """JSON is the protocol of runc: what is no UTF-8 is refused in one line, not changed."""
        from contract.errors import FailedError

        with pytest.raises(FailedError, match="UTF-8"):
            await containers.exec(self.name, [b"printf", b"%s", b"\xff\xfe"], size=None)


class TestExecByPodman(Real, ExecPromises):
    """Commands in podman's containers."""

    @pytest.fixture
    def runtime(self) -> str:
        """The program."""
        return "podman/crun"
