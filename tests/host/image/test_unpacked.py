"""Images on disk: unpacked once, checked, whole or not at all. Real umoci and skopeo."""

# ruff: noqa: ASYNC110, ASYNC221  only this test waits for these programs

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from contract.errors import FailedError, NotFoundError, SheltieError
from host.image.images import Images
from tests.host.image import tiny

pytestmark = pytest.mark.privileged


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """A layout with the tiny image."""
    tiny.write(tmp_path / "layout", ("sh", "-c", "true"), env=("PATH=/bin", "COLOUR=red"))
    return tmp_path / "layout"


@pytest.fixture
def images(tmp_path: Path) -> Images:
    """An empty place for unpacked images."""
    images = Images(tmp_path, tmp_path / "run")
    images.sweep()
    return images


def names(tmp_path: Path) -> list[str]:
    """Return what lies in the place for images."""
    own = {"blobs", "known.json"}
    return sorted(path.name for path in (tmp_path / "images").iterdir() if path.name not in own)


async def test_an_image_is_unpacked_once(images: Images, layout: Path, tmp_path: Path) -> None:
    """Its tree and its process are there, and the second time nothing is unpacked."""
    image = await images.get(f"oci:{layout}:latest")
    (image.rootfs / "mark").touch()
    again = await images.get(f"oci:{layout}")

    assert (image.rootfs / "bin/busybox").is_file()
    assert image.process.args == ("sh", "-c", "true")
    assert {"PATH=/bin", "COLOUR=red"} <= set(image.process.env)
    assert (again.rootfs / "mark").exists()
    assert names(tmp_path) == [image.digest.replace(":", "-")]


async def test_many_at_once_unpack_once(images: Images, layout: Path, tmp_path: Path) -> None:
    """Two containers of one image do not unpack it twice."""
    found = await asyncio.gather(*(images.get(f"oci:{layout}") for _ in range(3)))

    assert len({image.rootfs for image in found}) == 1
    assert len(names(tmp_path)) == 1


async def test_an_archive_is_the_same_image(images: Images, layout: Path, tmp_path: Path) -> None:
    """An archive of it has the same digest."""
    archive = tmp_path / "image.tar"
    copy = ["skopeo", "copy", "-q", f"oci:{layout}:latest", f"oci-archive:{archive}:v1"]
    subprocess.run(copy, check=True)
    one = await images.get(f"oci-archive:{archive}:v1")

    assert one == await images.get(f"oci:{layout}")


async def test_a_tag_that_moves_is_another_image(images: Images, layout: Path) -> None:
    """What counts is the digest: a tag that names another manifest gives another tree."""
    one = await images.get(f"oci:{layout}")
    shutil.rmtree(layout)
    tiny.write(layout, ("true",))

    assert (await images.get(f"oci:{layout}")).digest != one.digest


async def test_a_deep_path_with_odd_characters(images: Images, tmp_path: Path) -> None:
    """Colons, commas and blanks in the path are its own."""
    layout = tmp_path / "a:b, c" / "layout"
    tiny.write(layout)

    assert (await images.get(f"oci:{layout}:latest")).rootfs.is_dir()


async def test_nested_indexes_are_followed(images: Images, layout: Path) -> None:
    """A list of platforms gives this machine's."""
    import os

    arch = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    index = json.loads((layout / "index.json").read_text())
    entry = {**index["manifests"][0], "platform": {"os": "linux", "architecture": arch}}
    other = {**entry, "digest": f"sha256:{'0' * 64}", "platform": {"os": "x", "architecture": arch}}
    nested = tiny._json(layout, {"schemaVersion": 2, "manifests": [other, entry]})
    index["manifests"] = [{"mediaType": "application/vnd.oci.image.index.v1+json", **nested}]
    (layout / "index.json").write_text(json.dumps(index))

    assert (await images.get(f"oci:{layout}")).digest == entry["digest"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("oci:{tmp}/nowhere", "no image is at {tmp}/nowhere"),
        ("oci:{tmp}/layout:other", "{tmp}/layout holds no image with tag 'other'"),
        ("oci-archive:{tmp}/nowhere.tar", "no image is at {tmp}/nowhere.tar"),
    ],
)
async def test_what_is_missing(
    images: Images, layout: Path, tmp_path: Path, source: str, words: str
) -> None:
    """A missing image or tag is one sentence with its path."""
    with pytest.raises(NotFoundError) as caught:
        await images.get(source.format(tmp=tmp_path))
    assert caught.value.message == words.format(tmp=tmp_path)


async def test_an_empty_directory_is_no_image(images: Images, tmp_path: Path) -> None:
    """A directory without a layout is named."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(FailedError, match=f"{tmp_path}/empty is no OCI image layout"):
        await images.get(f"oci:{tmp_path}/empty")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"manifests": [{"digest": "x"}]}', "\0"])
async def test_a_broken_index(images: Images, layout: Path, content: str) -> None:
    """Whatever the index holds, it ends in one error."""
    (layout / "index.json").write_text(content)
    with pytest.raises(FailedError, match="index"):
        await images.get(f"oci:{layout}")


async def test_a_damaged_layer_leaves_nothing(images: Images, layout: Path, tmp_path: Path) -> None:
    """A layer with one flipped byte is found by its digest, and no tree stays."""
    layer = max((layout / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(layer.read_bytes())
    data[len(data) // 2] ^= 1
    layer.write_bytes(data)
    with pytest.raises(FailedError, match="cannot unpack oci:"):
        await images.get(f"oci:{layout}")

    assert names(tmp_path) == []


async def test_every_damaged_or_missing_blob_is_found(images: Images, layout: Path) -> None:
    """Config and manifest too: no blob may be wrong or absent."""
    for blob in sorted((layout / "blobs/sha256").iterdir()):
        data = blob.read_bytes()
        blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(SheltieError):
            await images.get(f"oci:{layout}")
        blob.unlink()
        with pytest.raises(SheltieError):
            await images.get(f"oci:{layout}")
        blob.write_bytes(data)
    await images.get(f"oci:{layout}")


async def test_an_interrupted_unpacking_is_swept(
    images: Images, layout: Path, tmp_path: Path
) -> None:
    """What was being unpacked when the daemon was killed is removed at the next start."""
    (tmp_path / "images" / ".unpacking-123").mkdir()
    image = await images.get(f"oci:{layout}")
    images.sweep()

    assert names(tmp_path) == [image.digest.replace(":", "-")]


async def test_cancelling_leaves_nothing(images: Images, layout: Path, tmp_path: Path) -> None:
    """An unpacking that is given up leaves no tree behind."""
    task = asyncio.create_task(images.get(f"oci:{layout}"))
    while not names(tmp_path) and not task.done():
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert names(tmp_path) == []
