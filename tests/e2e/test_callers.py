"""The callers' table, cell by cell, from inside the real containers."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.host import Host, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.image, pytest.mark.privileged, pytest.mark.timeout(180)]

CLONE = Path(__file__).resolve().parents[2]
OTHER = "other"
ASK = """
import json, sys
from contract.apiclient.exchange import exchange
answers = []
for method, uri, body in json.load(sys.stdin):
    data = b"" if body is None else json.dumps(body).encode()
    answers.append(exchange("/run/api.sock", method, uri, data).status)
print(json.dumps(answers))
"""
USER_DATA = "eyJwYXNzd29yZC1oYXNoIjogIngifQ=="  # {"password-hash": "x"}

READS = ["/", "/os", "/settings", "/tx", "/tx/list", "/services", "/sheltie/v1/status"]
WATCHES = ["/sheltie/v1/containers", "/sheltie/v1/containers/admin", "/sheltie/v1/metrics"]
OWNERS = [
    ("GET", "/sheltie/v1/events"),
    ("GET", "/sheltie/v1/generations"),
    ("POST", "/sheltie/v1/generations/1/restore"),
    ("DELETE", "/sheltie/v1/settings?keys=settings.motd"),
    ("POST", "/sheltie/v1/stop"),
]
UPDATES = [("POST", "/actions/refresh-updates"), ("POST", "/actions/activate-update")]
REBOOT = ("POST", "/actions/reboot")
WRITES: list[dict[str, Any]] = [
    {"motd": "mine"},
    {"network": {"https-proxy": "http://proxy"}},
    {"pki": {"mine": {"trusted": True}}},
    {"container-registry": {"credentials": []}},
    {"updates": {"version-lock": "1.0.0"}},
    *({"host-containers": {name: {"enabled": True}}} for name in ("control", OTHER, "fresh")),
    *(
        {"host-containers": {"admin": change}}
        for change in (
            {"source": "oci:/tmp/evil"},
            {"superpowered": False},
            {"command": ["sh"]},
            {"user-data": USER_DATA},
        )
    ),
]


class Caller:
    """A container whose processes ask."""

    def __init__(self, host: Host, name: str) -> None:
        argv = list(host.up["exec"]["control"])
        # The prefix for a container that up.json has no prefix for: another name before the `--`.
        argv[argv.index("control")] = name
        self._argv, self.name = argv, name

    def ask(self, *requests: tuple[str, str, object]) -> list[int]:
        """Return the statuses of answers: one process in the container asks for all of them."""
        argv = [*self._argv, "python3", "-I", "-c", ASK]
        done = subprocess.run(
            argv, input=json.dumps(requests), capture_output=True, text=True, timeout=60, check=True
        )
        found: list[int] = json.loads(done.stdout)
        return found

    def get(self, uris: Sequence[str]) -> dict[str, int]:
        """Return the status of GET for each URI."""
        found = self.ask(*(("GET", uri, None) for uri in uris))
        return dict(zip(uris, found, strict=True))

    def exec(self, target: str) -> int:
        """Return the status of `true` in a container, by /exec."""
        words = ["apiclient", "exec", "-T", target, "true"]
        done = subprocess.run(
            [*self._argv, *words], capture_output=True, check=False, timeout=60, text=True
        )
        assert done.returncode == 0 or "REFUSED" in done.stderr or "403" in done.stderr, done.stderr
        return done.returncode


@pytest.fixture(scope="module")
def callers(host: Host) -> Iterator[dict[str, Caller]]:
    """Control, an enabled admin, and a third host container of the owner's."""
    socket = host.up["socket"]
    if socket is None:
        pytest.skip("this host's own socket cannot be reached: no third container can be made")
    own = [sys.executable, "-I", "-m", "contract.apiclient", "-s", socket]

    def change(enabled: bool) -> None:
        source = next(one["image"] for one in host.containers() if one["name"] == "control")
        wish = {"source": source, "superpowered": False, "enabled": enabled}
        document = json.dumps({"host-containers": {OTHER: wish}})
        subprocess.run([*own, "set", "-j", document], cwd=CLONE, check=True, timeout=60)

    def state() -> str:
        states = {one["name"]: str(one["state"]) for one in host.containers()}
        return states.get(OTHER, "")

    host.enable(host.own_key())
    change(enabled=True)
    wait_for("the third container runs", lambda: state() == "running")
    yield {name: Caller(host, name) for name in ("control", "admin", OTHER)}
    change(enabled=False)
    wait_for("the third container is gone", lambda: state() == "disabled")


@pytest.mark.parametrize("name", ["control", "admin", OTHER])
def test_everybody_reads_and_nobody_owns(callers: dict[str, Caller], name: str) -> None:
    """Upstream's reads are for all; what is the owner's is refused, to each of them."""
    caller = callers[name]
    patches = [("PATCH", "/settings", change) for change in WRITES]
    pairs = ("PATCH", "/settings/keypair", {"request_payload": ["motd=mine"]})

    assert caller.get(READS) == dict.fromkeys(READS, 200)
    owners = caller.ask(*((*one, None) for one in OWNERS))
    assert dict(zip(OWNERS, owners, strict=True)) == dict.fromkeys(OWNERS, 403)
    assert caller.ask(*patches, pairs) == [403] * (len(WRITES) + 1)


@pytest.mark.parametrize("name", ["admin", OTHER])
def test_only_control_updates(callers: dict[str, Caller], name: str) -> None:
    """Updates and reboots are refused to the others; what control orders is tried."""
    orders = [(*one, None) for one in (*UPDATES, REBOOT)]
    assert callers[name].ask(*orders) == [403] * len(orders)
    assert 403 not in callers["control"].ask(*orders)


def test_who_may_watch(callers: dict[str, Caller]) -> None:
    """States and metrics are for control and admin; logs go by name."""
    logs = {name: f"/sheltie/v1/containers/{name}/logs" for name in ("control", "admin", OTHER)}
    for name, allowed in (("control", ("control", "admin")), ("admin", ("admin",)), (OTHER, ())):
        caller, watch = callers[name], 200 if name != OTHER else 403
        assert caller.get(WATCHES) == dict.fromkeys(WATCHES, watch)
        expected = {uri: 200 if whose in allowed else 403 for whose, uri in logs.items()}
        assert caller.get(list(logs.values())) == expected


def test_who_may_exec(callers: dict[str, Caller]) -> None:
    """Control into itself and an enabled admin; the others into nothing."""
    targets = ("control", "admin", OTHER)
    found = {
        name: tuple(target for target in targets if caller.exec(target) == 0)
        for name, caller in callers.items()
    }

    assert found == {"control": ("control", "admin"), "admin": (), OTHER: ()}


def test_admin_may_end_itself_and_no_more(callers: dict[str, Caller], host: Host) -> None:
    """Admin may set its own enabled to false, never to true."""
    admin = callers["admin"]
    on, off = ({"host-containers": {"admin": {"enabled": value}}} for value in (True, False))

    assert callers[OTHER].ask(("PATCH", "/settings?tx=a", off)) == [403]
    asked = [("PATCH", "/settings?tx=a", on), ("PATCH", "/settings?tx=a", off)]
    assert admin.ask(*asked, ("POST", "/tx/commit?tx=a", None)) == [403, 204, 200]
    wait_for("the setting is there", lambda: not host.status()["door"]["open"])
    host.enable(host.own_key())
