"""A signed directory of updates: what images trust it by, and what it holds."""

import hashlib
import json
from pathlib import Path

import pytest

from contract.errors import UsageError
from dev import hostupdate
from dev.hostimage import HostImage
from dev.updatekey import UpdateKey
from host.update import manifest, signature
from tests.host.update.disk import image

HASH = hashlib.sha256(b"root").hexdigest()


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UpdateKey:
    """Give this machine's own key, in a cache of the test's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return UpdateKey.own()


def built(place: Path, version: str) -> HostImage:
    """Return an image of a few bytes."""
    place.mkdir()
    for name in ("root", "verity", "uki"):
        (place / name).write_text(f"{name} of {version}")
    (place / "image.json").write_text(json.dumps({"version": version, "roothash": HASH}))
    return HostImage(place)


async def test_what_is_published_is_what_hosts_take(tmp_path: Path, key: UpdateKey) -> None:
    """Two versions, one manifest; its signature is good for images that bring the key."""
    for version in ("1.1.0", "1.2.0"):
        hostupdate.publish(built(tmp_path / version, version), tmp_path / "served", key)
    (tmp_path / "ring").write_bytes(key.keyring())
    sums = tmp_path / "served/SHA256SUMS"
    await signature.check(sums, sums.with_name("SHA256SUMS.gpg"), tmp_path / "ring")
    found = manifest.parse(sums.read_text())

    assert manifest.offered(found, image("1.0.0")) == [image("1.1.0"), image("1.2.0")]
    offered = manifest.find(found, image("1.2.0"))
    assert (offered.root.uuid + offered.verity.uuid).replace("-", "") == HASH
    assert (tmp_path / "served" / offered.uki.file).read_text() == "uki of 1.2.0"
    assert UpdateKey.own().keyring() == key.keyring()


def test_a_version_that_the_loader_would_order_otherwise(tmp_path: Path, key: UpdateKey) -> None:
    """It is refused before anything is written."""
    with pytest.raises(UsageError, match="is not three numbers"):
        hostupdate.publish(built(tmp_path / "x", "1.1.0-rc.1"), tmp_path / "served", key)

    assert not (tmp_path / "served").exists()
