"""buildah or podman at work in a closed room, with a storage of their own below the cache."""

import contextlib
import json
import os
import re
import resource
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import contract
from contract.errors import SheltieError
from dev import base
from dev.workshop import Report, Workshop

__all__ = ["ENGINES", "Engine", "base_name", "reuse", "sweep", "tag"]

ENGINES = ("buildah", "podman")
BUNDLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
STEP = re.compile(r"^(?:\[(\d+/\d+)\] )?STEP (\d+/\d+): (.*)")
SHOWN = 60


def base_name() -> str:
    """Return the local base's name; a bare one would be looked up among registries' short names."""
    return f"localhost/sheltie/base:{base.key()}"


def tag(layout: Path) -> str:
    """Return the name in the storage of what becomes a layout."""
    return f"localhost/sheltie/{layout.name}:latest"


@dataclass(frozen=True, slots=True)
class Engine:
    """A program that builds, in a room; `shop` is the directory of its storage."""

    program: str
    workshop: Workshop
    shop: Path
    driver: str = "overlay"
    cached: bool = True

    @property
    def _storage(self) -> tuple[str, str]:
        """Root and run root; the latter in the room, as its mounts end with the room."""
        return str(self.shop / f"store-{self.driver}"), str(self.workshop.scratch / "run")

    def _run(self, *words: str, what: str, hear: Report = lambda _: None) -> list[str]:
        root, runroot = self._storage
        argv = [self.program, "--root", root, "--runroot", runroot]
        argv += ["--storage-driver", self.driver]
        if self.program == "podman":
            argv += ["--tmpdir", f"{runroot}/libpod", "--events-backend", "file"]
        env = {"TMPDIR": str(self.shop / "tmp"), **base.apt_proxy()}
        return self.workshop.run([*argv, *words], hear=hear, env=env, what=what)

    def clear(self) -> None:
        """Remove the working containers of an interrupted build."""
        self._run("rm", "--all", what="clearing the storage")

    def import_base(self, tarball: Path) -> None:
        """Bring the base into the storage unless it is there."""
        buildah = Engine("buildah", self.workshop, self.shop, self.driver)
        with contextlib.suppress(SheltieError):
            buildah._run("inspect", "--type", "image", base_name(), what="base")
            return
        container = buildah._run("from", "scratch", what="base")[-1]
        buildah._run("add", "--quiet", container, str(tarball), "/", what="base")
        buildah._run("commit", "--quiet", "--rm", container, base_name(), what="base")

    def build(self, dockerfile: Path, layout: Path, report: Report) -> None:
        """Run a Dockerfile on its directory; the result is in the storage, as `tag(layout)`."""
        options = ["--isolation", "chroot", "--layers", "--format", "oci", "--tag", tag(layout)]
        options += ["--file", str(dockerfile)]
        options += [] if self.cached else ["--no-cache"]
        argv = ["build", *options, *_settings(), str(dockerfile.parent)]
        self._run(*argv, what=dockerfile.name, hear=_hear(report))

    def export(self, layout: Path) -> None:
        """Write the image as an OCI layout, in place whole or not at all."""
        partial = layout.with_name(f".partial-{layout.name}")
        reuse(layout.parent.glob(f"*{layout.name.rpartition('-')[0]}-*"), partial)
        root, runroot = self._storage
        source = f"containers-storage:[{self.driver}@{root}+{runroot}]{tag(layout)}"
        argv = ["skopeo", "--tmpdir", str(self.shop / "tmp"), "copy", "--quiet"]
        # Not compressed: quicker to write and to unpack, and equal layers are shared by links.
        argv += ["--dest-oci-accept-uncompressed-layers", source, f"oci:{partial}:latest"]
        self.workshop.run(argv, what=f"the layout of {layout.name}")
        sweep(partial)
        if layout.exists():
            shutil.rmtree(layout)
        partial.rename(layout)

    def forget(self, layout: Path) -> None:
        """Remove an image, and the layers that only it had, from the storage."""
        with contextlib.suppress(SheltieError):  # an engine with another storage may have made it
            self._run("rmi", tag(layout), what="rmi")


def reuse(layouts: Iterable[Path], target: Path) -> None:
    """Give `target` links to the blobs of earlier layouts: equal layers are not written again."""
    blobs = target / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for blob in {
        blob.name: blob for one in layouts for blob in one.glob("blobs/sha256/*")
    }.values():
        os.link(blob, blobs / blob.name)


def sweep(layout: Path) -> None:
    """Remove the blobs that the layout does not speak of."""

    def blob(digest: str) -> Path:
        return layout / "blobs" / digest.replace(":", "/")

    index = json.loads((layout / "index.json").read_bytes())
    used = set()
    for entry in index["manifests"]:
        manifest = json.loads(blob(entry["digest"]).read_bytes())
        parts = [entry, manifest["config"], *manifest["layers"]]
        used |= {blob(part["digest"]) for part in parts}
    for path in (layout / "blobs" / "sha256").iterdir():
        if path not in used:
            path.unlink()


def _settings() -> list[str]:
    arguments = {"BASE": base_name(), "VERSION": contract.__version__}
    # Engines raise these by themselves, which root without CAP_SYS_RESOURCE may not.
    limits = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    bounds = {word: resource.getrlimit(limit) for word, limit in limits.items()}
    options = [f"--ulimit={word}={soft}:{hard}" for word, (soft, hard) in bounds.items()]
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        arguments["SOURCE_DATE_EPOCH"] = epoch
        options += ["--timestamp", epoch]
    if index := os.environ.get("PIP_INDEX_URL"):
        arguments["PIP_INDEX_URL"] = index
    bundles = [os.environ.get(name, "") for name in BUNDLES]
    if bundle := next((one for one in [*bundles, BUNDLE] if one and Path(one).is_file()), ""):
        options += ["--secret", f"id=ca,src={bundle}"]
    return options + [f"--build-arg={word}={value}" for word, value in arguments.items()]


def _hear(report: Report) -> Report:
    """Report the engine's steps, and in between what apt and pip say they fetch."""

    def hear(line: str) -> None:
        found = STEP.match(line)
        if found:
            stage, step, text = found.groups()
            report(f"{stage or '1/1'} step {step} {' '.join(text.split())[:SHOWN]}")
        elif line.startswith(("Get:", "Unpacking ", "Setting up ")):
            report(" ".join(line.split())[:SHOWN])

    return hear
