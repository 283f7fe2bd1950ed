"""Both images from their Dockerfiles, as OCI layouts in the cache, named by what went in.

`python -I -m dev images [--engine buildah|podman] [--force] [admin] [control]` prints where they
lie. A call that finds them there takes a fraction of a second. The engines work in a storage of
their own below the cache, in a closed room (`dev.workshop`), so that the machine's own container
storage stays as it is, and an interrupted build leaves nothing running or mounted.
"""

import argparse
import os
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import contract
from contract.errors import SheltieError, UsageError
from dev import base, recipe
from dev.engine import ENGINES, Engine
from dev.site import CLONE, cache
from dev.steps import Steps
from dev.workshop import Report, Workshop, alone, need_programs, need_room, need_root

__all__ = ["NAMES", "build", "path", "prune"]

NAMES = ("admin", "control")
KEPT = 3
"""Results of each name and engine that stay."""
ROOM_NEEDED = 3 * 2**30
STORE_LAYERS = 200
"""So many layers, and the storage is begun anew: engines keep every old step for ever."""


def path(name: str, engine: str = "buildah", clone: Path = CLONE) -> Path:
    """Return where the image of a clone's present content lies, or will."""
    extra = [engine, base.key(), contract.__version__, os.environ.get("SOURCE_DATE_EPOCH", "")]
    key = recipe.digest(clone, clone / f"Dockerfile.{name}", *extra)
    prefix = "" if engine == "buildah" else f"{engine}-"
    return cache() / "images" / f"{prefix}{name}-{key}"


def build(
    names: Sequence[str], report: Report, *, engine: str = "buildah", force: bool = False
) -> dict[str, Path]:
    """Build what is not there yet; return each image's OCI layout directory (tag `latest`).

    Raises MachineError (root, programs, room, network), FailedError (a step failed), UsageError.
    """
    for name in names:
        if name not in NAMES:
            raise UsageError(f"no image is named {name!r}", hint="admin, control", code="NO_IMAGE")
    wanted = {name: path(name, engine) for name in names}
    if not force and all(layout.exists() for layout in wanted.values()):
        return wanted
    need_root()
    need_programs(engine, "buildah", "skopeo")
    (cache() / "images").mkdir(parents=True, exist_ok=True)
    tarball = base.build(lambda text: report(f"base: {text}"))
    with alone(cache() / "images.lock", report):
        need_room(cache(), ROOM_NEEDED, ", or point XDG_CACHE_HOME to a larger disk")
        shop = cache() / "build"
        _tidy(shop)
        contexts = {name: shop / "tmp" / f"context-{name}" for name in names}
        for name, context in contexts.items():
            recipe.gather(CLONE, CLONE / f"Dockerfile.{name}", context)
            # Named by what is really built: the clone may have changed while we waited.
            wanted[name] = path(name, engine, context)
        missing = {
            contexts[name] / f"Dockerfile.{name}": layout
            for name, layout in wanted.items()
            if force or not layout.exists()
        }
        if missing:
            _build(missing, tarball, report, engine, force)
    return wanted


def prune(directory: Path, keep: int) -> list[Path]:
    """Remove all but the newest `keep` results of each name; return what was removed."""
    results = sorted(
        directory.glob("[!.]*-*"), key=lambda one: one.stat().st_mtime_ns, reverse=True
    )
    seen: dict[str, int] = {}
    old = []
    for result in results:
        stem = result.name.rpartition("-")[0]
        seen[stem] = seen.get(stem, 0) + 1
        if seen[stem] > keep:
            shutil.rmtree(result)
            old.append(result)
    return old


def _build(
    wanted: dict[Path, Path], tarball: Path, report: Report, program: str, force: bool
) -> None:
    shop = cache() / "build"
    with Workshop.opened(shop / "room", [cache(), CLONE]) as workshop:
        driver = workshop.storage_driver(shop / "tmp")
        engine = Engine(program, workshop, shop, driver, cached=not force)
        engine.clear()
        report("importing the base")
        engine.import_base(tarball)
        _build_all(engine, wanted, report)
        for old in prune(cache() / "images", KEPT):
            engine.forget(old)


def _build_all(engine: Engine, wanted: dict[Path, Path], report: Report) -> None:
    told = _Told(report)

    def job(dockerfile: Path, layout: Path) -> None:
        tell = told.about(dockerfile.suffix.removeprefix("."))
        begun = time.monotonic()
        engine.build(dockerfile, layout, tell)
        tell("writing the layout")
        engine.export(layout)
        tell(f"done in {time.monotonic() - begun:.0f} s")

    with ThreadPoolExecutor(len(wanted)) as pool:
        jobs = [pool.submit(job, dockerfile, layout) for dockerfile, layout in wanted.items()]
        try:
            for one in jobs:
                one.result()
        except BaseException:
            # The room ends now, and the other build with it; its own error says nothing new.
            engine.workshop.close()
            raise


def _tidy(shop: Path) -> None:
    """Remove what an interrupted build left, and a storage that has grown too large."""
    for store in shop.glob("store-*"):
        if sum(1 for _ in store.glob("overlay/*")) > STORE_LAYERS:
            shutil.rmtree(store)
    shutil.rmtree(shop / "tmp", ignore_errors=True)
    (shop / "tmp").mkdir(parents=True)
    for partial in (cache() / "images").glob(".partial-*"):
        shutil.rmtree(partial)


class _Told:
    """Joins the words of builds that run side by side into one line."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._words: dict[str, str] = {}

    def about(self, name: str) -> Report:
        """Return the report of one of them."""

        def tell(text: str) -> None:
            with self._lock:
                self._words[name] = text
                self._report("; ".join(f"{who}: {word}" for who, word in self._words.items()))

        return tell


def main(arguments: Sequence[str] | None = None) -> int:
    """Build and print a line `NAME PATH` for each image; return the exit status."""
    parser = argparse.ArgumentParser(prog="make images", description="Build the images.")
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0])
    parser.add_argument("--force", action="store_true", help="build anew, with no cached step")
    parser.add_argument("names", nargs="*", metavar="admin|control", help="both when none is named")
    options = parser.parse_args(arguments)
    steps = Steps(sys.stderr)
    try:
        with steps.step(f"the local base, Debian {base.SUITE}") as note:
            base.build(note.update)
        with steps.step("the images") as note:
            built = build(
                options.names or NAMES, note.update, engine=options.engine, force=options.force
            )
            note.text = note.doing
    except SheltieError as error:
        print(f"make images: {error.line()}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("make images: interrupted; nothing is left half done", file=sys.stderr)
        return 130
    for name, layout in built.items():
        print(name, layout)
    return 0
