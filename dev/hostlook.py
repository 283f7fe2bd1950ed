"""Looking at the host's image with its own tools, and firmware that trusts a builder's key."""

import shutil
from pathlib import Path

from dev import hosttools
from dev.hostimage import HostImage
from dev.site import CLONE, cache
from dev.workshop import Workshop, need_root

__all__ = ["enrolled", "extract"]

VARIABLES = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
OWNER = "5e11e1e0-0000-4000-8000-736865747469"
"""Whose keys they are, for the firmware (UEFI, SignatureOwner)."""


def extract(image: HostImage, target: Path) -> Path:
    """Unpack an image's root, out of its erofs, to `target`; return that. Raises SheltieError."""
    need_root()
    target.mkdir(parents=True)
    tools = hosttools.tree("tools", lambda _: None)
    with Workshop.opened(cache() / "host/room", [cache(), CLONE, target]) as workshop:
        hosttools.enter(workshop, tools, target)
        place = f"{tools}/mnt"
        workshop.run(["mount", "--bind", str(image.place), place], what="the image")
        argv = ["fsck.erofs", "--extract=/work", "--overwrite", "--xattrs", "/mnt/root"]
        hosttools.run(workshop, tools, argv, what="the root")
    return target


def enrolled(certificate: Path, target: Path) -> Path:
    """Write variables of a firmware that trusts this certificate alone, and return them.

    Raises SheltieError.
    """
    need_root()
    tools = hosttools.tree("tools", lambda _: None)
    work = target.with_name(f"{target.name}-work")
    work.mkdir()
    shutil.copy2(certificate, work / "db.crt")
    shutil.copy2(VARIABLES, work / "blank")
    argv = ["virt-fw-vars", "--input", "/work/blank", "--output", "/work/variables"]
    for name in ("--set-pk", "--add-kek", "--add-db"):
        argv += [name, OWNER, "/work/db.crt"]
    with Workshop.opened(cache() / "host/room", [cache(), CLONE, work]) as workshop:
        hosttools.enter(workshop, tools, work)
        hosttools.run(workshop, tools, [*argv, "--secure-boot"], what="the firmware's variables")
    shutil.move(work / "variables", target)
    shutil.rmtree(work)
    return target
