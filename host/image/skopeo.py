"""skopeo, with all that it needs in files of ours.

It minds neither TMPDIR nor CONTAINERS_REGISTRIES_CONF, so that each call names its places. What
holds secrets lies in RUN, 0600, and only as long as the call takes.
"""

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from contract.durable import ensure_directory, write_file
from contract.errors import FailedError
from host.image import access as rendering
from host.image import failure
from host.image.access import RegistryAccess
from host.image.name import Name
from host.image.reference import Reference
from host.image.trust import ANY
from host.runtime import programs

__all__ = ["Call", "Skopeo", "open_archive"]

_TAG = "image"


@dataclass(frozen=True, slots=True)
class Call:
    """What one pull or question is made with: a directory of files, and how registries are met."""

    name: Name
    access: RegistryAccess
    place: Path
    registries_d: Path

    async def manifest(self, name: Name) -> bytes:
        """Return a manifest or index as it is; nobody has judged it yet. Raises SheltieError."""
        options = ["--authfile", f"{self.place}/auth.json"]
        if self.access.certificates:
            options += ["--cert-dir", str(self.place)]
        done = await self._do("inspect", "--raw", *options, f"docker://{name}")
        if done.status:
            raise failure.of_pull(self.name, done)
        if len(done.out) >= programs.OUTPUT_MAX:
            raise FailedError(f"the manifest of {name} is too large", code="IMAGE_BROKEN")
        return done.out

    async def copy(self, name: Name, into: Path, blobs: Path) -> None:
        """Judge a manifest, bring what is missing of it to `blobs`, and lay it out in `into`.

        Raises SheltieError.
        """
        options = ["--src-authfile", f"{self.place}/auth.json"]
        if self.access.certificates:
            options += ["--src-cert-dir", str(self.place)]
        # A layout cannot hold signatures; they are judged all the same.
        options += ["--remove-signatures", "--dest-shared-blob-dir", str(blobs)]
        # The destination is relative: no colon of our path is taken for a tag's.
        target = f"oci:{into.name}:{_TAG}"
        done = await self._do(
            "copy", "--quiet", *options, f"docker://{name}", target, cwd=into.parent
        )
        if done.status:
            raise failure.of_pull(self.name, done)

    async def _do(self, verb: str, *arguments: str, cwd: Path | None = None) -> programs.Done:
        argv = [programs.find("skopeo"), "--policy", f"{self.place}/policy.json"]
        argv += ["--registries-conf", f"{self.place}/registries.conf"]
        argv += ["--registries.d", str(self.registries_d), "--tmpdir", str(cwd or self.place)]
        # What verifies signatures keeps its keyring below TMPDIR for the moment.
        more = {"TMPDIR": str(self.place), **rendering.environment(self.access)}
        return await programs.run([*argv, verb, *arguments], cwd=cwd, more=more)


class Skopeo:
    """Calls with their files below `run`; `registries_d` may say where signatures lie."""

    def __init__(self, run: Path, registries_d: Path) -> None:
        self._run = run
        self._registries_d = registries_d

    def sweep(self) -> None:
        """Remove what an interrupted daemon left."""
        shutil.rmtree(self._run, ignore_errors=True)

    @asynccontextmanager
    async def call(
        self, name: Name, access: RegistryAccess, policy: bytes = ANY
    ) -> AsyncIterator[Call]:
        """Have what it takes to pull `name`. Raises UsageError (MIRROR_UNUSABLE), MachineError."""
        place = self._run / secrets.token_hex(6)
        files = {
            "policy.json": policy,
            "registries.conf": rendering.registries_conf(access, name.registry).encode(),
            "auth.json": rendering.auth_file(access).encode(),
            "host.crt": access.certificates,
        }
        try:
            await asyncio.to_thread(_write, place, files)
            given = self._registries_d.is_dir()
            yield Call(name, access, place, self._registries_d if given else place / "none")
        finally:
            await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)


def _write(place: Path, files: dict[str, bytes]) -> None:
    ensure_directory(place.parent)
    ensure_directory(place)
    ensure_directory(place / "none")
    try:
        for name, data in files.items():
            write_file(place / name, data)
    except OSError as error:
        raise FailedError(
            f"cannot write {place}: {error.strerror}",
            hint="make room in the run directory",
            code="RUN_UNWRITABLE",
        ) from error


async def open_archive(wanted: Reference, scratch: Path) -> Path:
    """Turn an archive into a layout in `scratch` and return that; all of an index stays.

    Raises SheltieError.
    """
    # By a link: the path may hold a colon, which skopeo would take for the end of it.
    (scratch / "archive").symlink_to(wanted.path)
    source = f"{wanted.kind}:archive" + (f":{wanted.tag}" if wanted.tag else "")
    argv = [programs.find("skopeo"), "--insecure-policy", "--tmpdir", str(scratch)]
    argv += ["copy", "--quiet", "--all"]
    done = await programs.run([*argv, source, f"oci:opened:{_TAG}"], cwd=scratch)
    if done.status:
        raise failure.of_archive(wanted, "open", done)
    return scratch / "opened"
