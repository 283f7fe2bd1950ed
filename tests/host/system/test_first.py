"""First settings: once each, the credential before the volume, and nothing half applied."""

import json
from pathlib import Path
from typing import Any

import pytest

from contract.apiclient.client import HostApi
from contract.errors import FailedError, SheltieError
from host.system import first
from tests.host.test_daemon import Site, site

__all__ = ["site"]

DEFAULTS = {"host-containers": {"control": {"source": "oci:/image:latest", "enabled": False}}}


@pytest.fixture
def defaults(tmp_path: Path) -> Path:
    """The image's own settings."""
    path = tmp_path / "defaults.json"
    path.write_text(json.dumps(DEFAULTS))
    return path


def settings(running: Site) -> dict[str, Any]:
    """Return the settings that are live."""
    found: dict[str, Any] = json.loads(running.ask("GET", "/settings").body)
    return found


def apply(running: Site, defaults: Path, found: tuple[str, bytes] | None = None) -> list[str]:
    """Apply first settings to a running daemon."""
    api = HostApi(str(running.run / "api/host/api.sock"))
    return first.apply(api, running.state, defaults, found)


def record(running: Site) -> dict[str, Any]:
    """Return what is remembered of them."""
    known: dict[str, Any] = json.loads((running.state / "first-settings.json").read_bytes())
    return known


def test_the_images_own_and_then_what_is_brought(site: Site, defaults: Path) -> None:
    """Both in one commit; what is brought goes over the image's own."""
    site.start()
    brought = json.dumps({"motd": "hello", "host-containers": {"control": {"enabled": True}}})
    changed = apply(site, defaults, ("credential x", brought.encode()))

    assert "settings.motd" in changed
    assert settings(site)["motd"] == "hello"
    control = settings(site)["host-containers"]["control"]
    assert control == {"source": "oci:/image:latest", "enabled": True}
    assert record(site)["image"]["from"] == "image"
    assert record(site)["brought"]["from"] == "credential x"


def test_they_are_applied_once(site: Site, defaults: Path) -> None:
    """What an operator sets afterwards stays, at every later boot."""
    site.start()
    apply(site, defaults, ("volume x", b'{"motd": "first"}'))
    site.write({"motd": "later"})

    assert apply(site, defaults, ("volume x", b'{"motd": "other"}')) == []
    assert settings(site)["motd"] == "later"


def test_a_credential_may_come_later(site: Site, defaults: Path) -> None:
    """A host that booted without one takes it at a later boot, and not the image's again."""
    site.start()
    assert apply(site, defaults)
    site.write({"host-containers": {"control": {"source": "oci:/mine"}}})

    assert apply(site, defaults, ("credential x", b'{"settings": {"motd": "late"}}'))
    assert settings(site)["motd"] == "late"
    assert settings(site)["host-containers"]["control"]["source"] == "oci:/mine"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'"text"', b"\xff"])
def test_what_is_no_document_is_refused(site: Site, defaults: Path, data: bytes) -> None:
    """Nothing is applied, nothing is remembered, and the line names where it came from."""
    site.start()
    with pytest.raises(FailedError, match="volume x"):
        apply(site, defaults, ("volume x", data))

    assert settings(site) == {}
    assert not (site.state / "first-settings.json").exists()


def test_settings_that_the_api_refuses_leave_nothing(site: Site, defaults: Path) -> None:
    """An unknown setting: the API's own words, and a later boot tries again."""
    site.start()
    with pytest.raises(SheltieError):
        apply(site, defaults, ("volume x", b'{"no-such-setting": 1}'))

    assert settings(site) == {}
    assert apply(site, defaults, ("volume x", b'{"motd": "mended"}'))


def test_the_credential_goes_before_the_volume(tmp_path: Path) -> None:
    """Where there is a credential, no volume is looked at."""
    (tmp_path / "sheltie.settings").write_bytes(b"{}")

    assert first.brought(tmp_path, Path("/dev/null")) == ("credential sheltie.settings", b"{}")
    assert first.brought(None, tmp_path / "absent") is None


@pytest.mark.privileged
def test_a_volume_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A volume without a file system that we know: one line that says what it should hold."""
    volume = tmp_path / "SHELTIE"
    volume.write_bytes(b"\0" * 4096)

    with pytest.raises(FailedError, match="first settings cannot be read"):
        first.brought(None, volume)
