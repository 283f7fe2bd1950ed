"""Containers, their logs and the metrics, over real sockets."""

import asyncio
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.status import ContainerStatus
from host.api.v1.metrics import escaped
from tests.host.api.client import Answer, hang_up, reached
from tests.host.api.conftest import Site

LOG = "".join(f"2026-01-01T00:00:00.0Z stdout F line {number}\n" for number in range(5000))
SAMPLE = re.compile(r'([a-z_]+)(\{([a-z]+="[^"]*",?)+\})? (-?[0-9.e+-]+)')


async def logs(site: Site, query: str = "", name: str = "admin", who: str = "host") -> Answer:
    """Ask for a container's log."""
    return await site.ask("GET", f"/sheltie/v1/containers/{name}/logs{query}", who=who)


async def test_containers(site: Site) -> None:
    """Every container with what is wanted and what is, and each by its name."""
    every = (await site.ask("GET", "/sheltie/v1/containers")).json
    one = (await site.ask("GET", "/sheltie/v1/containers/admin")).json

    assert [found["name"] for found in every] == ["admin", "control", "other"]
    assert one in every
    assert set(one) <= set(ContainerStatus.__struct_fields__)
    assert (await site.ask("GET", "/sheltie/v1/containers/none")).status == 404


@pytest.mark.parametrize("tail", [0, 1, 2, 100, 4999, 5000, 9999])
async def test_tail(site: Site, tail: int) -> None:
    """The last lines, whole, as the log keeps them."""
    (site.directory / "admin.log").write_text(LOG)
    lines = LOG.splitlines(keepends=True)

    assert (await logs(site, f"?tail={tail}")).text == "".join(lines[max(len(lines) - tail, 0) :])


@pytest.mark.parametrize(
    ("text", "last"),
    [("", ""), ("x", "x"), ("x\n", "x\n"), ("\n", "\n"), ("\n\n", "\n"), ("a\nb", "b")],
)
async def test_tail_of_little(site: Site, text: str, last: str) -> None:
    """Odd ends are no trouble."""
    (site.directory / "admin.log").write_text(text)

    assert (await logs(site)).text == text
    assert (await logs(site, "?tail=1")).text == last


@pytest.mark.parametrize("query", ["?tail=-1", "?tail=x", "?tail=1000001", "?follow=yes", "?tail="])
async def test_bad_queries(site: Site, query: str) -> None:
    """What cannot be meant is 400."""
    (site.directory / "admin.log").write_text("x")

    assert (await logs(site, query)).status == 400


async def test_no_log(site: Site) -> None:
    """A container that never wrote, and one that is none, are 404 with a line."""
    assert "has written no log yet" in (await logs(site)).text
    assert (await logs(site, name="..")).status == 404
    assert (await logs(site, name="none")).status == 404


async def test_follow_through_a_rotation(site: Site) -> None:
    """What is added comes, and when conmon begins the log anew, that too, without a gap."""
    path = site.directory / "admin.log"
    path.write_text("one\ntwo\n")
    reader, writer = await asyncio.open_unix_connection(site.socket())
    target = b"/sheltie/v1/containers/admin/logs?tail=1&follow=true"
    writer.write(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    async with asyncio.timeout(20):
        assert await reader.readuntil(b"two\n\r\n")
        with path.open("a") as file:
            file.write("three\n")
        assert await reader.readuntil(b"three\n\r\n")
        with path.open("a") as file:
            file.write("four\n")
        fresh = site.directory / "admin.log.tmp"
        fresh.write_text("five\n")
        fresh.rename(path)
        found = await reader.readuntil(b"five\n\r\n")
    assert b"four\n" in found
    await hang_up(writer)
    await reached(lambda: site.house.streams["host"] == 0)


async def test_metrics(site: Site) -> None:
    """Every line is of the text format, and tells what status tells."""
    await site.ask("PATCH", "/settings", {"motd": 1})
    answer = await site.ask("GET", "/sheltie/v1/metrics")
    lines = answer.text.splitlines()
    samples = {line.rpartition(" ")[0]: line.rpartition(" ")[2] for line in lines if line[0] != "#"}

    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert all(line.startswith(("# HELP ", "# TYPE ")) or SAMPLE.fullmatch(line) for line in lines)
    assert samples['sheltie_container_state{name="admin",state="running"}'] == "1"
    assert samples['sheltie_container_state{name="admin",state="failed"}'] == "0"
    assert samples['sheltie_container_restarts_total{name="admin"}'] == "0"
    assert samples['sheltie_api_requests_total{caller="host",status="400"}'] == "1"
    assert samples["sheltie_settings_generation"] == "1"
    assert int(samples["sheltie_audit_records_total"]) > 3
    assert int(samples["process_resident_memory_bytes"]) > 1 << 20
    named = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert {re.split(r"[{ ]", line)[0] for line in lines if line[0] != "#"} <= named


@given(st.text())
def test_labels_stay_in_their_line(text: str) -> None:
    """No text ends a label's value, or its line."""
    shown = escaped(text)

    assert "\n" not in shown
    assert not re.search(r'(?<!\\)(\\\\)*"', shown)
