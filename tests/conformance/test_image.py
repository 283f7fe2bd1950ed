"""The twin, and images from each place they can come from, keep the same promises.

Real skopeo and umoci, and a real registry on loopback.
"""

import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from host.image.access import Mirror, RegistryAccess
from host.image.images import Images
from host.image.trust import ANY
from tests.conformance.image_promises import ImagePromises, Stage
from tests.host.image import tiny
from tests.host.image.registry import Registry
from tests.host.image.twin import TwinImages

pytestmark = pytest.mark.privileged


class TestTwin(ImagePromises):
    """What tests put there."""

    @pytest.fixture
    def stage(self, tmp_path: Path) -> Stage:
        """An empty one."""
        twin = TwinImages(tmp_path)
        return Stage(
            twin,
            "registry.example/admin:1",
            lambda args: twin.publish("registry.example/admin:1", args, ["sleep"]),
            lambda: twin.withdraw("registry.example/admin:1"),
        )


class Real(ImagePromises):
    """Fixtures for real images."""

    @pytest.fixture
    async def images(self, tmp_path: Path, access: RegistryAccess) -> AsyncIterator[Images]:
        """An empty place."""
        images = Images(tmp_path / "state", tmp_path / "run", lambda: access)
        images.sweep()
        yield images
        await images.close()
        left = {path.name for path in (tmp_path / "state/images").iterdir()}
        assert not [name for name in left if name.startswith(".")]
        run = tmp_path / "run/images"
        assert not run.exists() or not list(run.iterdir())

    @pytest.fixture
    def access(self) -> RegistryAccess:
        """Nothing special."""
        return RegistryAccess()

    @pytest.fixture
    def fresh(self, tmp_path: Path) -> Callable[[Sequence[str]], Path]:
        """Return what makes a layout with one tiny image."""

        def make(args: Sequence[str]) -> Path:
            shutil.rmtree(tmp_path / "layout", ignore_errors=True)
            tiny.write(tmp_path / "layout", args)
            return tmp_path / "layout"

        return make


class TestLayout(Real):
    """oci:"""  # noqa: D400  as it is written

    @pytest.fixture
    def stage(
        self, images: Images, fresh: Callable[[Sequence[str]], Path], tmp_path: Path
    ) -> Stage:
        """A layout on disk."""
        layout = tmp_path / "layout"
        return Stage(images, f"oci:{layout}:latest", fresh, lambda: shutil.rmtree(layout))


class Archive(Real):
    """Fixtures for archives."""

    kind = ""
    named = ""

    @pytest.fixture
    def stage(
        self, images: Images, fresh: Callable[[Sequence[str]], Path], tmp_path: Path
    ) -> Stage:
        """An archive on disk."""
        archive = tmp_path / "image.tar"

        def publish(args: Sequence[str]) -> None:
            archive.unlink(missing_ok=True)
            source = f"oci:{fresh(args)}:latest"
            argv = ["skopeo", "--tmpdir", str(tmp_path), "--insecure-policy", "copy", "-q", source]
            subprocess.run([*argv, f"{self.kind}:{archive}:{self.named}"], check=True)

        return Stage(images, f"{self.kind}:{archive}:{self.named}", publish, archive.unlink)


class TestOciArchive(Archive):
    """oci-archive:"""  # noqa: D400  as it is written

    kind, named = "oci-archive", "v1"


class TestDockerArchive(Archive):
    """docker-archive:"""  # noqa: D400  as it is written

    kind, named = "docker-archive", "localhost/tiny:v1"


class TestRegistry(Real):
    """docker://"""  # noqa: D400  as it is written

    kind: tuple[str, ...] = ()

    @pytest.fixture
    def registry(self, tmp_path: Path) -> Iterator[Registry]:
        """A registry without TLS."""
        with Registry.running(tmp_path / "registry") as registry:
            yield registry

    @pytest.fixture
    def access(self, registry: Registry) -> RegistryAccess:
        """It is spoken to without TLS."""
        return RegistryAccess((Mirror(registry.place, (f"http://{registry.place}",)),))

    @pytest.fixture
    def stage(
        self,
        images: Images,
        registry: Registry,
        fresh: Callable[[Sequence[str]], Path],
        tmp_path: Path,
    ) -> Stage:
        """A tag, which the owner's policy accepts."""
        (tmp_path / "state/policy.json").write_bytes(ANY)
        return Stage(
            images,
            f"{registry.place}/a/tiny:1",
            lambda args: registry.push(fresh(args), "a/tiny:1", *self.kind),
            registry.stop,
        )


class TestDockerManifests(TestRegistry):
    """docker://, of images that docker pushed."""

    kind = ("--format", "v2s2")
