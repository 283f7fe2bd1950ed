"""The update engine's twin keeps what the update verbs rely on."""

import pytest

from tests.conformance.update_promises import Bench, UpdatePromises
from tests.host.update.twin import TwinEngine


class TestTwin(UpdatePromises):
    """The twin."""

    @pytest.fixture
    async def bench(self) -> Bench:
        """Return a twin of 1.0.0 to which two updates are offered."""
        engine = TwinEngine("1.0.0", ["1.1.0", "1.2.0"])
        return Bench(engine, engine.next_boot)
