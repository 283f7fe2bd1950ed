"""The image source's twin: images are what a test puts there; nothing is pulled nor unpacked."""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from contract.errors import FailedError, UnavailableError, UsageError
from host.image.seam import Image, Tell, silent
from host.runtime.shape import ImageProcess

__all__ = ["TwinImages"]


@dataclass
class TwinImages:
    """Images below `home`. `published` is what a source means now; None: it cannot be reached."""

    home: Path
    published: dict[str, Image | None] = field(default_factory=dict)
    handed: dict[str, tuple[str, Image]] = field(default_factory=dict)
    proven: dict[str, tuple[str, Image]] = field(default_factory=dict)

    def publish(self, source: str, args: Sequence[str], programs: Sequence[str] = ()) -> str:
        """Let `source` mean an image with these programs that runs `args`; return its digest."""
        digest = f"sha256:{hashlib.sha256(repr((args, programs)).encode()).hexdigest()}"
        rootfs = self.home / digest
        for name in ("busybox", *programs):
            (rootfs / "bin").mkdir(parents=True, exist_ok=True)
            (rootfs / "bin" / name).touch(0o755)
        process = ImageProcess(tuple(args), ("PATH=/bin",), "/", {"uid": 0, "gid": 0})
        self.published[source] = Image(digest, rootfs, process)
        return digest

    def withdraw(self, source: str) -> None:
        """Let nobody reach it any more."""
        self.published[source] = None

    async def get(
        self,
        source: str | None,
        *,
        container: str = "",
        command: Sequence[str] = (),
        tell: Tell = silent,
    ) -> Image:
        """Return what was published, or what was good."""
        if not source:
            raise UsageError("no image source is set", code="SOURCE_UNUSABLE")
        image = self.published.get(source)
        spare = self.proven.get(container) or self.handed.get(container)
        if image is None:
            if spare is None or spare[0] != source:
                raise UnavailableError(f"{source} does not answer", code="REGISTRY_DOWN")
            note = f"runs from {spare[1].digest}, because nothing answers"
            image = replace(spare[1], note=note)
        tell(f"asking for {source}")
        args = tuple(command) or image.process.args
        if not args or not (image.rootfs / "bin" / args[0]).exists():
            raise FailedError(f"image {source} has no program", code="IMAGE_INCOMPLETE")
        self.handed[container] = source, replace(image, note="")
        return image

    def good(self, container: str) -> None:
        """Note it."""
        if container in self.handed:
            self.proven[container] = self.handed[container]

    async def collect(self, running: Mapping[str, str]) -> Sequence[str]:
        """Remove what nobody needs."""
        kept = set(running.values())
        for known in (self.handed, self.proven):
            kept |= {image.digest for name, (_, image) in known.items() if name in running}
        doomed = [path for path in self.home.iterdir() if path.name not in kept]
        for path in doomed:
            shutil.rmtree(path)
        return sorted(path.name for path in doomed)

    async def close(self) -> None:
        """Nothing goes on."""
