"""A door that is opened for a test and closed after it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.admin.ssh.door import Door, make_key


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    """A real monitor that lets one key in."""
    made = Door(tmp_path, *make_key(tmp_path, "operator"))
    await made.open()
    yield made
    await made.link.close()
