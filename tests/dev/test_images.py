"""The results of builds: the newest stay, equal layers are shared, wrong names are refused."""

import json
import os
from pathlib import Path

import pytest

from contract.errors import UsageError
from dev import engine, images


def test_only_the_newest_results_stay(tmp_path: Path) -> None:
    """Each name and engine keeps its newest; a half-written result is not counted."""
    for number in range(5):
        for stem in ("admin", "control", "podman-admin"):
            path = tmp_path / f"{stem}-{number:016x}"
            path.mkdir()
            os.utime(path, (number, number))
    (tmp_path / ".partial-admin-0").mkdir()
    removed = {path.name for path in images.prune(tmp_path, 3)}
    stems = ("admin", "control", "podman-admin")
    assert removed == {f"{stem}-{number:016x}" for stem in stems for number in (0, 1)}
    assert (tmp_path / ".partial-admin-0").exists()


def test_an_unknown_image_is_refused() -> None:
    """The names that there are stand in the hint."""
    with pytest.raises(UsageError, match="no image is named 'host'") as caught:
        images.build(("host",), lambda _: None)
    assert "admin" in caught.value.hint


def test_blobs_are_shared_and_swept(tmp_path: Path) -> None:
    """A new layout begins with links to old blobs; what it does not speak of goes again."""
    old, new = tmp_path / "old", tmp_path / "new"
    blobs = old / "blobs/sha256"
    blobs.mkdir(parents=True)
    for name in ("layer", "stale"):
        (blobs / name).write_text(name)
    engine.reuse([old], new)
    blobs = new / "blobs/sha256"
    manifest = {"config": {"digest": "sha256:c"}, "layers": [{"digest": "sha256:layer"}]}
    (blobs / "m").write_text(json.dumps(manifest))
    (blobs / "c").write_text("{}")
    (new / "index.json").write_text(json.dumps({"manifests": [{"digest": "sha256:m"}]}))
    engine.sweep(new)
    assert {path.name for path in blobs.iterdir()} == {"layer", "m", "c"}
    assert (blobs / "layer").stat().st_ino == (old / "blobs/sha256/layer").stat().st_ino
    assert (old / "blobs/sha256/stale").exists()
