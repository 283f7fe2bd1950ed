"""The twin that runs processes of this machine keeps what /exec relies on."""

import pytest

from host.desired import Desired
from tests.conformance.exec_promises import ExecPromises
from tests.host.local import LocalContainers


class TestLocal(ExecPromises):
    """Local processes."""

    @pytest.fixture
    async def containers(self) -> LocalContainers:
        """Return containers of which admin runs."""
        containers = LocalContainers()
        await containers.apply({"admin": Desired("admin", enabled=True)})
        return containers
