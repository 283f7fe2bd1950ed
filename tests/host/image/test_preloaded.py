"""Images that the host's own image brings: used where they lie, and never removed."""

import shutil
from pathlib import Path

import pytest

from host.image.unpacked import Trees

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
CONFIG = '{"process": {"args": ["sh"], "env": [], "cwd": "/", "user": {"uid": 0, "gid": 0}}}'


def put(directory: Path, digest: str) -> Path:
    """Put an unpacked image there."""
    home = directory / digest.replace(":", "-")
    (home / "rootfs").mkdir(parents=True)
    (home / "config.json").write_text(CONFIG)
    (home / "image.json").write_text('{"blobs": [], "version": 1}')
    return home


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    """One image that is brought, one that was unpacked."""
    put(tmp_path / "brought", DIGEST)
    put(tmp_path / "images", OTHER)
    return Trees(tmp_path / "images", tmp_path / "brought")


def test_it_is_there_without_unpacking(trees: Trees, tmp_path: Path) -> None:
    """It is loaded from where it lies."""
    assert trees.has(DIGEST)
    assert trees.load(DIGEST).rootfs == tmp_path / "brought" / DIGEST.replace(":", "-") / "rootfs"
    assert trees.load(OTHER).rootfs.is_relative_to(tmp_path / "images")


async def test_it_is_never_superfluous(trees: Trees, tmp_path: Path) -> None:
    """What is collected is named from what was unpacked here, and removing one leaves the other."""
    assert trees.names() == {OTHER}
    put(tmp_path / "images", DIGEST)
    await trees.remove([DIGEST, OTHER])

    assert trees.names() == set()
    assert trees.has(DIGEST)
    assert not trees.has(OTHER)


def test_it_is_there_without_a_state(tmp_path: Path) -> None:
    """Also where the data partition is gone."""
    put(tmp_path / "brought", DIGEST)
    shutil.rmtree(tmp_path / "images", ignore_errors=True)

    assert Trees(tmp_path / "images", tmp_path / "brought").has(DIGEST)
