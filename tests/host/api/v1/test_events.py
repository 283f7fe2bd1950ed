"""The audit over the API: what each call leaves in it, and following it."""

import asyncio
import json
from typing import Any

import pytest

from contract import chain
from host.api.limits import Limits
from host.audit import calls
from tests.host.api.client import ask, hang_up, reached
from tests.host.api.conftest import Site
from tests.host.keys import keys

FOLLOW = b"GET /sheltie/v1/events?follow=true%s HTTP/1.1\r\nHost: x\r\n\r\n"


async def events(site: Site, since: int = 0) -> list[dict[str, Any]]:
    """Return the events behind a number, oldest first."""
    answer = await site.ask("GET", f"/sheltie/v1/events?since={since}")
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line)["record"]["event"] for line in answer.body.splitlines()]


async def now(site: Site) -> int:
    """Return the audit's number."""
    return site.house.audit.status().records


async def test_a_write(site: Site) -> None:
    """A commit tells who, which names, and which generation; the calls around it have records."""
    before = await now(site)
    await site.write({"motd": "x"})
    staged, changed, called = await events(site, before)

    assert (staged["code"], staged["method"], staged["status"]) == ("called", "PATCH", 204)
    assert (changed["code"], changed["names"], changed["generation"]) == (
        "settings.changed",
        ["settings.motd"],
        2,
    )
    assert (called["path"], called["tx"], called["status"]) == ("/tx/commit_and_apply", "set", 200)
    who = changed["who"]
    assert (who["caller"], who["uid"] >= 0, who["pid"] > 0) == ("host", True, True)
    assert who["started"] > 0


async def test_the_door(site: Site) -> None:
    """Opening and closing are events of their own, with the keys handed over."""
    await site.write({"host-containers": {"admin": {"enabled": False}}}, who="admin")
    await site.write(
        {"host-containers": {"admin": {"enabled": True, "user-data": keys(3)}}}, who="control"
    )
    found = [event for event in await events(site) if event["code"].startswith("door.")]

    assert [(one["code"], one["who"]["caller"]) for one in found] == [
        ("door.opened", "host"),
        ("door.closed", "admin"),
        ("door.opened", "control"),
    ]
    assert found[2]["keys"][0].startswith("SHA256:")


async def test_an_exec(site: Site) -> None:
    """An exec has a record before it runs, and one with its result."""
    before = await now(site)
    client = await site.exec("control")
    await client.start("sh", "-c", "exit 7")
    await client.rest()
    await reached(lambda: site.house.audit.status().records == before + 2)
    started, ended = await events(site, before)

    assert (started["code"], started["argv"], started["target"]) == (
        "exec.started",
        ["sh", "-c", "exit 7"],
        "admin",
    )
    assert (ended["code"], ended["result"], ended["started"]) == (
        "exec.ended",
        "1000 7",
        before + 1,
    )
    assert ended["who"]["caller"] == "control"


async def test_an_exec_that_cannot_start(site: Site) -> None:
    """The attempt is there, and that it failed."""
    before = await now(site)
    client = await site.exec()
    await client.start("/no/such/program")
    await client.rest()
    await reached(lambda: site.house.audit.status().records == before + 2)
    _, ended = await events(site, before)

    assert ended["result"].startswith("1011 failed to spawn")


async def test_refusals(site: Site) -> None:
    """Whatever the table refuses is told: writes, reads, execs."""
    before = await now(site)
    await site.write({"motd": "x"}, who="control")
    await site.ask("GET", "/sheltie/v1/events", who="admin")
    (await site.exec("other")).close()
    client = await site.exec("control")
    await client.start("true", target="other")
    await client.rest()
    await reached(lambda: site.house.audit.status().records >= before + 4)
    found = await events(site, before)

    assert [event["code"] for event in found] == ["refused"] * 4
    assert [(event["who"]["caller"], event["what"]) for event in found] == [
        ("control", "PATCH /settings"),
        ("admin", "GET /sheltie/v1/events"),
        ("other", "GET /exec"),
        ("control", "exec into other"),
    ]


async def test_failures(site: Site) -> None:
    """A write that could not be done is there with its code."""
    before = await now(site)
    await site.ask("POST", "/tx/commit")
    await site.ask("PATCH", "/settings", {"nonsense": 1})
    found = await events(site, before)

    assert [(event["status"], event["error"]) for event in found] == [
        (422, "NOTHING_PENDING"),
        (400, "SETTINGS_INVALID"),
    ]


async def test_a_flood_of_refusals(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may do nothing fills no disk: most refusals are one record with their number."""
    monkeypatch.setattr(calls, "WINDOW_SECONDS", 1.0)
    before = await now(site)
    for _ in range(calls.BURST + 15):
        await site.ask("DELETE", "/tx", who="other")
    await site.ask("DELETE", "/sheltie/v1/settings?keys=settings.motd", who="admin")
    await reached(lambda: site.house.audit.status().records >= before + calls.BURST + 2)
    found = await events(site, before)

    mine = [event for event in found if event["who"]["caller"] == "other"]
    assert [event.get("times", 1) for event in mine] == [*[1] * calls.BURST, 15]
    assert sum(event["who"]["caller"] == "admin" for event in found) == 1


async def test_the_stream_is_the_chain(site: Site) -> None:
    """What the API hands out is checked by whoever keeps it, against the head in status."""
    await site.write({"motd": "x"})
    answer = await site.ask("GET", "/sheltie/v1/events")
    status = (await site.ask("GET", "/sheltie/v1/status")).json["audit"]
    verdict = chain.verify(
        answer.body.splitlines(keepends=True), witness=chain.Head.parse(status["head"])
    )

    assert (verdict.faults, verdict.first, verdict.head.seq) == ((), 1, status["records"])


async def _head(reader: asyncio.StreamReader) -> str:
    return (await reader.readuntil(b"\r\n\r\n")).decode().lower()


async def _chunk(reader: asyncio.StreamReader) -> bytes:
    size = int(await reader.readline(), 16)
    data = await reader.readexactly(size)
    assert await reader.readline() == b"\r\n"
    return data


async def test_follow(site: Site) -> None:
    """Who follows gets each event as it comes, in chunks, though only its sending has ended."""
    reader, writer = await asyncio.open_unix_connection(site.socket())
    writer.write(FOLLOW % b"&since=%d" % await now(site))
    writer.write_eof()
    assert "transfer-encoding: chunked" in await _head(reader)
    await site.ask("PATCH", "/settings", {"motd": "x"})
    async with asyncio.timeout(20):
        line = await _chunk(reader)
    assert json.loads(line)["record"]["event"]["path"] == "/settings"
    assert site.house.streams["host"] == 1
    await hang_up(writer)
    await reached(lambda: site.house.streams["host"] == 0)


async def test_http_1_0(site: Site) -> None:
    """An old client gets the plain lines, and the end of the connection as their end."""
    reader, writer = await asyncio.open_unix_connection(site.socket())
    writer.write(b"GET /sheltie/v1/events HTTP/1.0\r\n\r\n")
    head = await _head(reader)
    lines = (await reader.read()).splitlines()
    await hang_up(writer)

    assert "chunked" not in head
    assert all(json.loads(line)["v"] == 1 for line in lines)


async def test_keep_alive_after_a_stream(site: Site) -> None:
    """Another request may follow a stream that has ended."""
    reader, writer = await asyncio.open_unix_connection(site.socket())
    for _ in range(2):
        writer.write(b"GET /sheltie/v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
        await _head(reader)
        while await _chunk(reader):
            pass
    await hang_up(writer)


class TestFewStreams:
    """A caller has a number of streams, and no more."""

    @pytest.fixture
    def limits(self) -> Limits:
        """Return a small limit."""
        return Limits(streams=2)

    async def test_bound(self, site: Site) -> None:
        """One too many is 503 with a line; another caller's are not counted with it."""
        writers = []
        for _ in range(2):
            reader, writer = await asyncio.open_unix_connection(site.socket())
            writer.write(FOLLOW % b"")
            await _head(reader)
            writers.append(writer)
        third = await site.ask("GET", "/sheltie/v1/events?follow=true")
        (site.directory / "control.log").write_text("")
        other = await site.ask("GET", "/sheltie/v1/containers/control/logs", who="control")
        assert (third.status, other.status) == (503, 200)
        assert "2 streams open" in third.text
        for writer in writers:
            await hang_up(writer)
        await reached(lambda: site.house.streams["host"] == 0)
        assert (await ask(site.socket(), "GET", "/sheltie/v1/events")).status == 200


class TestSlowReaders:
    """A client that takes nothing holds neither memory nor its place."""

    @pytest.fixture
    def limits(self) -> Limits:
        """Return a short patience."""
        return Limits(request=0.3, linger=0.1)

    async def test_let_go(self, site: Site) -> None:
        """What it does not read waits in the log, not in the daemon; then it is let go."""
        with (site.directory / "admin.log").open("wb") as file:
            file.truncate(64 << 20)
        reader, writer = await asyncio.open_unix_connection(site.socket(), limit=1)
        writer.write(b"GET /sheltie/v1/containers/admin/logs HTTP/1.1\r\nHost: x\r\n\r\n")
        await reached(lambda: site.house.streams["host"] == 1)
        (connection,) = site.listeners["host"].connections
        assert connection.writer.transport.get_write_buffer_size() < 1 << 20
        await reached(lambda: site.house.streams["host"] == 0)
        await hang_up(writer)
        del reader
