"""Which runtime works here: found out by creating a container, once when the daemon starts.

Its program never runs: by then namespaces, mounts, devices, cgroups and rights are all set up, and
that is what fails where something does (crun on hybrid cgroups, for one).
"""

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

from contract.errors import MachineError, SheltieError
from host.runtime import facts, limits, shape
from host.runtime.cgroups import Cgroups
from host.runtime.entry import FACTS, Facts
from host.runtime.files import Files
from host.runtime.oci import OciRuntime
from host.runtime.podman import PodmanRuntime

__all__ = ["choose", "make"]

_NAME = "_probe"  # no container's name: those have no underscore
_PROGRAM = "/program"


async def choose(wanted: str, run: Path, cgroups: Cgroups) -> OciRuntime:
    """Return the first runtime that works, of `auto`, `crun`, `runc` or `podman`.

    Its `cgroups` are those given, without the controllers that it could not use.

    Raises MachineError (RUNTIME_UNUSABLE) that tells for each why it does not.
    """
    candidates = [one for one in FACTS.values() if wanted in {"auto", *one.name.split("/")[:1]}]
    reasons: dict[str, str] = {}
    # A runtime may refuse limits that the host seems to have: better no limits than no door.
    ways = (
        [cgroups, replace(cgroups, controllers=frozenset())] if cgroups.controllers else [cgroups]
    )
    for candidate, way in itertools.product(candidates, ways):
        try:
            runtime = make(candidate, run, way)
            await _try(runtime, run, way)
        except SheltieError as error:
            reasons[candidate.name] = error.message
        else:
            return runtime
    why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    raise MachineError(
        f"no runtime can run containers here ({why})",
        hint="install Debian's packages crun and conmon, and run as root",
        code="RUNTIME_UNUSABLE",
    )


def make(facts: Facts, run: Path, cgroups: Cgroups) -> OciRuntime:
    """Return the runtime of `facts`. Raises MachineError (PROGRAM_MISSING)."""
    return (PodmanRuntime if facts.podman else OciRuntime)(facts, run, cgroups)


async def _try(runtime: OciRuntime, run: Path, cgroups: Cgroups) -> None:
    place = run / "probe"
    files = Files(place, place, _NAME)
    try:
        files.make()
        files.rootfs.mkdir(exist_ok=True)
        program = files.rootfs / _PROGRAM.lstrip("/")
        program.touch()
        program.chmod(0o755)
        await runtime.delete(files)
        await runtime.create(files, _config(files, cgroups))
        await runtime.delete(files)
    except OSError as error:
        raise MachineError(f"cannot be tried: {error}", code="RUNTIME_UNUSABLE") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _config(files: Files, cgroups: Cgroups) -> dict[str, object]:
    """Return the unprivileged shape, which asks the most of a host; else the other."""
    try:
        host, superpowered = facts.read(filtered=True), False
    except MachineError:  # said again, and for good, when such a container is to be started
        host, superpowered = facts.read(filtered=False), True
    process = shape.ImageProcess((_PROGRAM,), (), "/", {"uid": 0, "gid": 0})
    wish = shape.Wish(
        files.name,
        superpowered,
        process,
        str(files.rootfs),
        cgroups.path(files.name),
        str(files.persistent),
        str(files.api),
        limits=limits.kept(
            limits.limits(facts.size(), superpowered=superpowered), cgroups.controllers
        ),
        certificates=str(files.certificates),
    )
    return shape.config(wish, host)
