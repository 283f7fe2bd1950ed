"""What marks a host as touched: a session in admin, and an exec into it."""

import asyncio
import sys

import pytest

from host.touched import Touched
from tests.host.api.conftest import Site


@pytest.fixture
def touched(site: Site) -> Touched:
    """Let the site run from an image of ours."""
    site.house.touched = Touched(site.directory / "touched.json", "boot", site.house.audit.note)
    return site.house.touched


async def test_admins_word(site: Site, touched: Touched) -> None:
    """What admin sends as a session begins, without waiting, is enough."""
    program = "import sys; from admin.session.touch import tell; tell(sys.argv[1])"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(site.socket("admin"))
    )
    assert await process.wait() == 0
    async with asyncio.timeout(30):
        while not (found := (await site.ask("GET", "/sheltie/v1/status")).json.get("touched")):
            pass

    assert found["by"] == "a session in admin"
    assert touched.status is not None


async def test_without_a_daemon(site: Site) -> None:
    """Nobody waits for one that is not there."""
    program = "from admin.session.touch import tell; tell('/nonexistent/api.sock')"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)

    assert await process.wait() == 0


async def test_other_hosts_have_no_flag(site: Site) -> None:
    """It is taken note of in the audit alone."""
    answer = await site.ask("POST", "/sheltie/v1/touched", who="admin")

    assert answer.status == 204
    assert "touched" not in (await site.ask("GET", "/sheltie/v1/status")).json
