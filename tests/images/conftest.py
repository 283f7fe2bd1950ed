"""The built images, unpacked once for each worker."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dev import images

ENTER = 'mount --rbind /dev "$1/dev" && shift && exec chroot "$@"'


@dataclass(frozen=True)
class Image:
    """An image as it lies in the cache, and its root directory."""

    layout: Path
    root: Path

    def read(self, digest: str) -> Any:
        """Return a blob that is JSON."""
        return json.loads((self.layout / "blobs" / digest.replace(":", "/")).read_bytes())

    @property
    def manifest(self) -> Any:
        """The image's manifest."""
        index = json.loads((self.layout / "index.json").read_bytes())
        return self.read(index["manifests"][0]["digest"])

    @property
    def config(self) -> Any:
        """What a runtime is told: entrypoint, command, environment, labels."""
        return self.read(self.manifest["config"]["digest"])["config"]

    def run(
        self, *argv: str, user: str = "", stdin: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        """Run a program in the image's root directory, with its environment and a /dev."""
        environment = dict(entry.split("=", 1) for entry in self.config["Env"])
        enter = ["unshare", "--mount", "sh", "-c", ENTER, "sh", str(self.root)]
        enter += [f"--userspec={user}"] if user else []
        enter += [str(self.root)]
        return subprocess.run(
            [*enter, *argv],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    def files(self) -> Iterator[Path]:
        """Yield every path of the root directory, relative to it."""
        for directory, names, files in os.walk(self.root):
            for name in (*names, *files):
                yield Path(directory, name).relative_to(self.root)


def unpacked(name: str, directory: Path) -> Image:
    """Build an image unless it is there, and unpack it."""
    if os.geteuid() != 0:
        pytest.skip("unpacking an image needs root")
    layout = images.build((name,), lambda _: None)[name]
    root = directory / "root"
    argv = ["umoci", "raw", "unpack", "--image", f"{layout}:latest", str(root)]
    subprocess.run(argv, check=True, capture_output=True)
    return Image(layout, root)


@pytest.fixture(scope="session")
def control(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Give the control image."""
    return unpacked("control", tmp_path_factory.mktemp("control"))


@pytest.fixture(scope="session")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Give the admin image."""
    return unpacked("admin", tmp_path_factory.mktemp("admin"))
