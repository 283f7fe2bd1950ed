"""Two builds from one locked set of packages are the same, to the last bit that is verified."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dev import base
from dev.hostimage import HostImage
from dev.site import CLONE, cache

pytestmark = [
    *(pytest.mark.vm, pytest.mark.image, pytest.mark.privileged, pytest.mark.slow),
    pytest.mark.timeout(1500),
]

SCRIPT = """
from dev import hostimage
print(hostimage.build(lambda _: None).place)
"""


def digests(image: HostImage) -> dict[str, str]:
    """Return the digests of what boots."""
    found = {"roothash": image.about["roothash"]}
    for file in (image.root, image.verity, image.uki, image.disk):
        with file.open("rb") as stream:
            found[file.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def test_a_second_build_from_nothing_but_the_lock_is_the_same(
    image: HostImage, tmp_path: Path
) -> None:
    """Another cache, which shares the packages and the container images: the same image."""
    again = tmp_path / "cache/sheltie"
    (again / "host").mkdir(parents=True)
    for name in ("images", "host/packages", "host/update-key", "pip", base.path().name):
        if (cache() / name).exists():
            (again / name).symlink_to(cache() / name)
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=CLONE,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    other = HostImage(Path(done.stdout.strip()))

    assert image.place != other.place
    assert digests(image) == digests(other)
