"""The Dockerfiles are ordinary: a second engine builds the same images from them."""

import json
from pathlib import Path

import pytest

from dev import images

pytestmark = [
    pytest.mark.image,
    pytest.mark.privileged,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


def config(layout: Path) -> dict[str, object]:
    """Return what a runtime is told by the image in an OCI layout."""

    def blob(digest: str) -> dict[str, dict[str, str]]:
        parsed: dict[str, dict[str, str]] = json.loads(
            (layout / "blobs" / digest.replace(":", "/")).read_bytes()
        )
        return parsed

    index = json.loads((layout / "index.json").read_bytes())
    manifest = blob(index["manifests"][0]["digest"])
    told: dict[str, object] = dict(blob(manifest["config"]["digest"])["config"])
    told.pop("Labels", None)  # each engine signs its work there
    return told


@pytest.mark.parametrize("name", images.NAMES)
def test_podman_builds_what_buildah_builds(name: str) -> None:
    """Podman builds the Dockerfile too, and the result is started in the same way."""
    ours = images.build([name], lambda _line: None)[name]
    theirs = images.build([name], lambda _line: None, engine="podman")[name]

    assert theirs != ours
    assert config(ours) == config(theirs)
