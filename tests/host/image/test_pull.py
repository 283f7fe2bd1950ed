"""Pulling from a real registry: only when needed, only what is missing, and told how far it is."""

import json
import os
import shutil
from pathlib import Path

import pytest

from contract.errors import FailedError, NotFoundError
from host.image.trust import ANY
from tests.host.image import tiny
from tests.host.image.conftest import Make
from tests.host.image.registry import Registry

pytestmark = pytest.mark.privileged

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]


@pytest.fixture
def pinned(registry: Registry, layout: Path) -> str:
    """The tiny image by its digest."""
    return f"{registry.place}/tiny@{registry.push(layout, 'tiny:1')}"


async def test_a_pinned_image_is_asked_for_once(
    daemon: Make, registry: Registry, pinned: str
) -> None:
    """Once it is there the registry hears no more of it, from no later daemon either."""
    image = await daemon(registry.place).get(pinned)
    assert registry.asked()
    again = await daemon(registry.place).get(f"docker://{pinned}")

    assert registry.asked() == 0
    assert again == image
    assert pinned.endswith(image.digest)


async def test_an_image_from_disk_serves_its_pin(
    daemon: Make, registry: Registry, layout: Path, pinned: str
) -> None:
    """A digest is a digest, wherever the image came from: preloaded ones need no registry."""
    images = daemon(registry.place)
    image = await images.get(f"oci:{layout}")
    registry.stop()

    assert (await images.get(pinned)).rootfs == image.rootfs


async def test_a_tag_brings_only_what_is_missing(
    daemon: Make, registry: Registry, layout: Path, tmp_path: Path
) -> None:
    """A tag is asked each time; blobs that are there are not brought again."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state/policy.json").write_bytes(ANY)
    registry.push(layout, "tiny:1")
    images = daemon(registry.place)
    await images.get(f"{registry.place}/tiny:1")
    first = registry.blobs_asked()
    await images.get(f"{registry.place}/tiny:1")
    second = registry.blobs_asked()
    tiny.write(layout, ("true",), tag="other")
    registry.push(layout, "tiny:1", tag="other")
    registry.blobs_asked()
    image = await images.get(f"{registry.place}/tiny:1")
    third = registry.blobs_asked()

    assert (len(first), len(second), len(third)) == (2, 0, 1)
    assert not set(third) & set(first)
    assert image.process.args == ("true",)


async def test_how_far_it_is(daemon: Make, registry: Registry, layout: Path) -> None:
    """Sentences name the image, what is done, and how much of it."""
    tiny.write(layout, files={"big": os.urandom(5_000_000)}, tag="big")
    digest = registry.push(layout, "tiny:1", tag="big")
    said: list[str] = []
    source = f"{registry.place}/tiny@{digest}"
    await daemon(registry.place).get(source, tell=said.append)

    assert said[0] == f"asking {registry.place} for {source}"
    assert f"pulling {source}: 0 of 7 MB" in said or f"pulling {source}: 0 of 6 MB" in said
    assert said[-1] == f"unpacking {source}"


async def test_an_index_gives_this_machines_image(
    daemon: Make, registry: Registry, layout: Path
) -> None:
    """A pin may be an index's; the registry is asked once all the same."""
    digest = registry.push(layout, "tiny:1")
    own = {"mediaType": MANIFEST, "digest": digest, "size": 1}
    own["size"] = len(_manifest(layout, digest))
    platforms = [{"os": "linux", "architecture": "other"}, {"os": "linux", "architecture": ARCH}]
    entries = [{**own, "platform": one} for one in platforms]
    data = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
    index = registry.manifest("tiny:all", data, INDEX)
    images = daemon(registry.place)
    image = await images.get(f"{registry.place}/tiny@{index}")
    registry.stop()

    assert image.digest == digest
    assert (await images.get(f"{registry.place}/tiny@{index}")) == image


async def test_an_index_without_this_machine(
    daemon: Make, registry: Registry, layout: Path
) -> None:
    """It is said for which machine there is none."""
    digest = registry.push(layout, "tiny:1")
    own = {"mediaType": MANIFEST, "digest": digest, "size": len(_manifest(layout, digest))}
    entry = {**own, "platform": {"os": "linux", "architecture": "other"}}
    data = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).encode()
    index = registry.manifest("tiny:all", data, INDEX)

    with pytest.raises(NotFoundError, match=f"no image for linux/{ARCH}"):
        await daemon(registry.place).get(f"{registry.place}/tiny@{index}")


async def test_what_the_registry_has_not(daemon: Make, registry: Registry, pinned: str) -> None:
    """A name, or a digest, that it does not know."""
    images = daemon(registry.place)
    for path in ("other", "tiny"):
        with pytest.raises(NotFoundError, match=f"registry {registry.place} has no"):
            await images.get(f"{registry.place}/{path}@sha256:{'0' * 64}")


async def test_a_blob_that_the_registry_lost(
    daemon: Make, registry: Registry, pinned: str, tmp_path: Path
) -> None:
    """The error names the image, and nothing half done stays."""
    blobs = registry.home / "storage/docker/registry/v2/blobs/sha256"
    largest = max(blobs.glob("*/*/data"), key=lambda path: path.stat().st_size)
    shutil.rmtree(largest.parent)
    with pytest.raises((FailedError, NotFoundError), match="tiny@sha256"):
        await daemon(registry.place).get(pinned)

    assert sorted(path.name for path in (tmp_path / "state/images").iterdir()) == ["blobs"]


async def test_a_blob_that_the_disk_lost_is_brought_again(
    daemon: Make, registry: Registry, pinned: str, tmp_path: Path
) -> None:
    """A cached blob with a flipped bit is found out by its digest, and comes once more."""
    images = daemon(registry.place)
    image = await images.get(pinned)
    shutil.rmtree(image.rootfs.parent)
    for blob in (tmp_path / "state/images/blobs/sha256").iterdir():
        data = bytearray(blob.read_bytes())
        data[len(data) // 2] ^= 1
        blob.write_bytes(data)

    assert (await images.get(pinned)) == image


async def test_a_manifest_of_another_kind(daemon: Make, registry: Registry, layout: Path) -> None:
    """What is no image is refused by its kind."""
    registry.push(layout, "tiny:1")
    config = json.loads(_manifest(layout, registry.push(layout, "tiny:1")))["config"]
    kind = {"mediaType": "application/vnd.example+json", "digest": config["digest"]}
    data = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": []}
    data["config"] = {**kind, "size": config["size"]}
    digest = registry.manifest("tiny:odd", json.dumps(data).encode(), MANIFEST)

    with pytest.raises(FailedError):
        await daemon(registry.place).get(f"{registry.place}/tiny@{digest}")


def _manifest(layout: Path, digest: str) -> bytes:
    return (layout / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes()
