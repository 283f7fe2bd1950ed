"""/services, /configuration-files, /metadata/* and /report: upstream's shapes, honest answers."""

from typing import Any

import pytest

from tests.host.api.conftest import Site

SERVICE: dict[str, Any] = {"host-containers": {"configuration-files": [], "restart-commands": []}}
AFFECTED = "/metadata/affected-services?keys="


@pytest.mark.parametrize("who", ["host", "control", "other"])
@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/services", SERVICE),
        ("/services?names=host-containers", SERVICE),
        ("/services?prefix=host", SERVICE),
        ("/services?prefix=services.host", SERVICE),
        ("/services?prefix=x", {}),
        ("/configuration-files", {}),
        ("/configuration-files?prefix=x", {}),
        ("/metadata/setting-generators", {}),
        ("/metadata/templates?keys=settings.motd", {}),
        (f"{AFFECTED}settings.motd", {}),
        (
            f"{AFFECTED}settings.host-containers.admin.enabled,settings.motd,settings.pki.a.data",
            {
                "settings.host-containers.admin.enabled": ["host-containers"],
                "settings.pki.a.data": ["host-containers"],
            },
        ),
        (f"{AFFECTED}settings.nothing,os.arch", {}),
        ("/report", []),
        ("/?prefix=services", {"services": SERVICE}),
        ("/?prefix=configuration-files", {}),
    ],
)
async def test_reading(site: Site, who: str, target: str, expected: Any) -> None:
    """Everybody may read what there is, compact and as JSON."""
    answer = await site.ask("GET", target, who=who)

    assert (answer.status, answer.json) == (200, expected)
    assert b" " not in answer.body


@pytest.mark.parametrize(
    ("target", "status", "text"),
    [
        ("/services?names=nope", 404, "Found no 'services.nope' in datastore"),
        ("/services?names=host-containers,nope", 404, "Found no 'services.nope' in datastore"),
        ("/configuration-files?names=a", 404, "Found no 'configuration-files.a' in datastore"),
        ("/services?names=", 400, "Input 'names' cannot be empty"),
        ("/services?prefix=", 400, "Input 'prefix' cannot be empty"),
        ("/metadata/affected-services", 400, "Missing required input 'keys'"),
        ("/metadata/affected-services?keys=", 400, "Input 'keys' cannot be empty"),
        (
            "/metadata/affected-services?keys=a..b",
            400,
            "Unable to make data key 'a..b': Invalid key name at character 2",
        ),
        ("/metadata/templates", 400, "Missing required input 'keys'"),
    ],
)
async def test_refusals(site: Site, target: str, status: int, text: str) -> None:
    """What is missing is named in upstream's words."""
    answer = await site.ask("GET", target)

    assert (answer.status, answer.text) == (status, text)
