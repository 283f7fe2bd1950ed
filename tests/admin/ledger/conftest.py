"""A ledger for the tests of one worker."""

from collections.abc import Iterator

import pytest

from tests.admin.ledger.ledgered import Ledgered, ledgered
from tests.admin.sheltie.conftest import made, skip_unless_possible


@pytest.fixture(scope="session")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledgered]:
    """A box of its own: what is planted in it stays."""
    skip_unless_possible()
    with made(tmp_path_factory.mktemp("ledger")) as box, ledgered(box) as one:
        yield one
