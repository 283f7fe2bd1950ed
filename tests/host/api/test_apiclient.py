"""Our apiclient, as a process, on our daemon: the verbs and the forms of the contract."""

import asyncio
import json
import os
import pty
import sys
from pathlib import Path
from typing import Any

import pytest

from contract.errors import FailedError
from host import reboot
from tests.host.api.client import reached
from tests.host.api.conftest import OS, Site

DOCUMENT = """
[settings]
motd = "from toml"
[settings.network]
no-proxy = ["a", "b"]
"""


async def apiclient(
    site: Site, *words: str, who: str = "host", stdin: str = ""
) -> tuple[int, str, str]:
    """Run the client over the caller's socket; return exit status, output, errors."""
    argv = ["-I", "-m", "contract.apiclient", "-s", str(site.socket(who)), *words]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(stdin.encode())
    return process.returncode or 0, out.decode(), err.decode()


async def live(site: Site) -> Any:
    """Return what is live."""
    return (await site.ask("GET", "/settings")).json


async def test_apply(site: Site, tmp_path: Path) -> None:
    """Several documents are one transaction; nothing is printed, nothing stays pending."""
    file = tmp_path / "x.json"
    file.write_text(json.dumps({"settings": {"motd": "from json", "updates": {"seed": 3}}}))
    done = await apiclient(site, "apply", "-", f"file://{file}", stdin=DOCUMENT)

    assert done == (0, "", "")
    found = await live(site)
    assert found["motd"] == "from json"
    assert found["network"] == {"no-proxy": ["a", "b"]}
    assert found["updates"] == {"seed": 3}
    assert (await site.ask("GET", "/tx/list")).json == []


async def test_apply_reads_standard_input(site: Site) -> None:
    """Without a URI the document is on standard input."""
    assert await apiclient(site, "apply", stdin=DOCUMENT) == (0, "", "")
    assert (await live(site))["motd"] == "from toml"


async def test_apply_all_or_none(site: Site, tmp_path: Path) -> None:
    """One document that is refused, by us or by the host, and nothing changes."""
    before = await live(site)
    unknown, bad = tmp_path / "unknown", tmp_path / "bad"
    unknown.write_text("[settings]\nnope = 1\n")
    bad.write_text("[settings\n")
    status, out, err = await apiclient(site, "apply", "-", f"file://{unknown}", stdin=DOCUMENT)
    mine = await apiclient(site, "apply", "-", f"file://{bad}", stdin=DOCUMENT)

    assert (status, out) == (1, "")
    assert "Status 400 when PATCHing /settings?tx=apiclient-apply-" in err
    assert "unknown field `nope`" in err
    assert (mine[0], mine[1], mine[2].count("\n")) == (2, "", 1)
    assert f"cannot apply file://{bad}" in mine[2]
    assert await live(site) == before
    assert (await site.ask("GET", "/tx/list")).json == []


async def test_get_without_some(site: Site) -> None:
    """What is excluded is left out, by prefixes of dotted names."""
    await site.write({"motd": "m", "network": {"hostname": "h", "https-proxy": "http://p"}})
    _, out, _ = await apiclient(
        site, "get", "settings", "--exclude", "settings.host", "--exclude=settings.network.h"
    )
    assert json.loads(out) == {"settings": {"motd": "m"}}
    _, out, _ = await apiclient(site, "get", "--exclude", "settings.", "--canonicalize")

    assert out == json.dumps({"os": OS}, sort_keys=True, separators=(",", ":")) + "\n"


async def test_update_check(site: Site) -> None:
    """The status after a refresh, pretty and sorted, and nothing on stderr."""
    site.offer("1.2.0")
    status, out, err = await apiclient(site, "update", "check")

    assert (status, err) == (0, "")
    document = json.loads(out)
    assert document["chosen_update"]["version"] == "1.2.0"
    assert out == json.dumps(document, indent=2, sort_keys=True) + "\n"


async def test_update_apply_and_cancel(site: Site) -> None:
    """Apply prepares and activates; cancel goes back; a second apply needs no fetching anew."""
    site.offer("1.2.0")
    assert (await apiclient(site, "update", "check"))[0] == 0
    applied = await apiclient(site, "update", "apply")
    assert applied == (0, "", "Update has been applied and will take effect on next reboot.\n")
    assert site.engine.next.version == "1.2.0"
    assert (await apiclient(site, "update", "cancel")) == (0, "", "")
    assert site.engine.next.version == "1.0.0"


async def test_update_apply_with_check_and_reboot(site: Site, tmp_path: Path) -> None:
    """`-c -r` looks first, applies, and reboots; the second time there is nothing to do."""
    mark = tmp_path / "rebooted"
    site.house.reboot_command = reboot.parse(f"sh -c 'echo x >> {mark}'")
    site.offer("1.2.0")
    first = await apiclient(site, "update", "apply", "-c", "-r")
    assert (first[0], first[2]) == (0, "")
    assert mark.read_text() == "x\n"
    second = await apiclient(site, "update", "apply", "--check", "--reboot")

    assert json.loads(second[1])["update_state"] == "Ready"
    assert (second[0], second[2], mark.read_text()) == (0, "", "x\n")


async def test_nothing_to_apply(site: Site) -> None:
    """With a check it is fine that there is none; without, the host's refusal is shown."""
    checked = await apiclient(site, "update", "apply", "-c")
    status, out, err = await apiclient(site, "update", "apply")

    assert checked[0] == 0
    assert (status, out) == (1, "")
    assert err == (
        "Failed POST request to '/actions/prepare-update': Status 409 when POSTing "
        "/actions/prepare-update: Update action not allowed according to update state\n"
    )


async def test_update_that_fails(site: Site) -> None:
    """What the engine could not do is one line, exit status 1."""
    site.engine.refuse = [FailedError("nobody answers", code="NOBODY")]
    status, out, err = await apiclient(site, "update", "check")

    assert (status, out) == (1, "")
    assert err == "apiclient: refresh failed: nobody answers [NOBODY] [UPDATE_FAILED]\n"


async def test_update_that_lasts(site: Site) -> None:
    """While the host holds the lock the client waits, and answers once it is done."""
    site.offer("1.2.0")
    site.engine.gate.clear()
    waiting = asyncio.create_task(apiclient(site, "update", "check"))
    await reached(lambda: site.engine.calls == ["available"])
    for _ in range(3):
        assert (await site.ask("GET", "/updates/status")).status == 423
    again = await apiclient(site, "update", "check")
    site.engine.gate.set()

    assert again[0] == 1
    assert "Status 423 when POSTing /actions/refresh-updates: Update lock held" in again[2]
    assert (await waiting)[0] == 0


async def test_progress_on_a_terminal(site: Site) -> None:
    """What lasts over two seconds shows so on a terminal, and the line is gone at the end."""
    site.offer("1.2.0")
    site.engine.gate.clear()
    master, slave = pty.openpty()
    argv = [sys.executable, "-I", "-m", "contract.apiclient", "-s", str(site.socket())]
    process = await asyncio.create_subprocess_exec(
        *argv,
        "update",
        "check",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=slave,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(slave)
    shown = await asyncio.to_thread(os.read, master, 1000)
    assert b"looking for updates: 2 s" in shown
    site.engine.gate.set()
    assert await process.wait() == 0
    rest = await asyncio.to_thread(os.read, master, 10_000)
    os.close(master)

    assert rest.endswith(b"\r\x1b[K")


async def test_reboot(site: Site, tmp_path: Path) -> None:
    """The host reboots, or says why not."""
    mark = tmp_path / "mark"
    site.house.reboot_command = reboot.parse(f"touch {mark}")
    assert await apiclient(site, "reboot") == (0, "", "")
    assert mark.exists()
    site.house.reboot_command = ["false"]
    status, _, err = await apiclient(site, "reboot")

    assert status == 1
    assert err.startswith(
        "Failed POST request to '/actions/reboot': Status 500 when POSTing /actions/reboot: "
        "Failed to reboot, exit code: 1"
    )


async def test_reports(site: Site) -> None:
    """This host has none, and the client says which one it asked for."""
    assert await apiclient(site, "report") == (0, "[]\n", "")
    for words, uri in [
        (("cis",), "/report/cis?type=bottlerocket"),
        (("cis", "-l", "2"), "/report/cis?level=2&type=bottlerocket"),
        (("cis-k8s", "-f", "json"), "/report/cis?format=json&type=kubernetes"),
        (("fips",), "/report/fips"),
    ]:
        status, _, err = await apiclient(site, "report", *words)
        assert (status, f"Status 404 when GETing {uri}" in err) == (1, True), err


@pytest.mark.parametrize(
    "words",
    [
        ["update"],
        ["update", "now"],
        ["update", "check", "-r"],
        ["reboot", "now"],
        ["report", "cis", "-f", "xml"],
        ["report", "cis", "-l", "3"],
        ["get", "--exclude"],
    ],
)
async def test_wrong_command_lines(site: Site, words: list[str]) -> None:
    """They are one line on stderr and exit status 2."""
    status, out, err = await apiclient(site, *words)

    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.endswith("[USAGE]\n")


@pytest.mark.ours
async def test_containers_are_refused(site: Site) -> None:
    """What the callers' table refuses comes out as the host's line."""
    for words in (["update", "check"], ["reboot"]):
        status, _, err = await apiclient(site, *words, who="admin")
        assert (status, "Status 403 when POSTing" in err) == (1, True)


@pytest.mark.parametrize(
    "words",
    [["--help"], ["get", "/os"], ["apply", "--help"], ["update", "--help"], ["reboot", "--help"]],
)
async def test_start_is_light(site: Site, words: list[str]) -> None:
    """No command line but /exec's needs more than sockets and JSON."""
    heavy = ["asyncio", "msgspec", "wsproto", "ssl", "urllib.request", "tomllib", "rich", "typer"]
    code = (
        f"import sys; sys.argv = ['apiclient', '-s', {str(site.socket())!r}, *{words!r}]\n"
        "from contract.apiclient.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", code, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()

    assert out.decode().splitlines()[-1] == "[]"
