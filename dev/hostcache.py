"""What builds of the host's image keep: each stage by its content, the newest of each kind.

A result bears its kind and a digest of what went in, `KIND-DIGEST`. Whoever builds holds the
cache's lock; whoever finds a result takes it by `take`, without one.
"""

import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

__all__ = ["KEPT", "RECENT_SECONDS", "prune", "take"]

KEPT = 2
"""Results of each kind that stay, those used last."""
RECENT_SECONDS = 3600.0
"""What was used since then stays too: somebody may be at work with it."""
PACKAGES_SECONDS = 30 * 24 * 3600.0
"""Packages are small, and dear to fetch anew: they stay for so long."""


def take(result: Path) -> bool:
    """Whether a result is there; from now on it counts as used."""
    try:
        os.utime(result)
    except FileNotFoundError:
        return False
    return True


def prune(place: Path, now: float | None = None) -> list[Path]:
    """Remove what nobody uses any more; return that. The caller holds the lock."""
    at = time.time() if now is None else now
    old: list[Path] = []
    for directory in (place, place / "images"):
        old += _old(directory, at)
    for result in old:
        shutil.rmtree(result)
    for package in place.glob("packages/*.deb"):
        if at - package.stat().st_mtime > PACKAGES_SECONDS:
            package.unlink()
            old.append(package)
    return old


def _old(directory: Path, at: float) -> Iterator[Path]:
    """Yield the results that are neither among the newest of their kind nor recently used."""
    found = [(one.stat().st_mtime, one) for one in directory.glob("[!.]*-*") if one.is_dir()]
    kinds: Counter[str] = Counter()
    for used, result in sorted(found, reverse=True):
        kind = result.name.rpartition("-")[0]
        kinds[kind] += 1
        if kinds[kind] > KEPT and at - used > RECENT_SECONDS:
            yield result
