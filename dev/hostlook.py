"""Looking at the host's image with its own tools, and what a virtual machine gets beside it."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from contract.errors import FailedError
from dev import hosttools
from dev.hostimage import HostImage
from dev.site import CLONE, cache
from dev.workshop import Workshop, need_root

__all__ = ["enrolled", "extract", "on_esp", "place_of", "volume"]

VARIABLES = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
OWNER = "5e11e1e0-0000-4000-8000-736865747469"
"""Whose keys they are, for the firmware (UEFI, SignatureOwner)."""
EXTENT = re.compile(r"^\s+0:.*: +([0-9]+)\.\.", re.MULTILINE)
ESP_OFFSET = 1 << 20
"""Where the first partition begins."""


def extract(image: HostImage, target: Path) -> Path:
    """Unpack an image's root, out of its erofs, to `target`; return that. Raises SheltieError."""
    need_root()
    target.mkdir(parents=True)
    tools = hosttools.tree("tools", lambda _: None)
    with Workshop.opened(cache() / "host/room", [cache(), CLONE, target]) as workshop:
        hosttools.enter(workshop, tools, target)
        place = f"{tools}/mnt"
        workshop.run(["mount", "--bind", str(image.place), place], what="the image")
        argv = ["fsck.erofs", "--extract=/made", "--overwrite", "--xattrs", "/mnt/root"]
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
    argv = ["virt-fw-vars", "--input", "/made/blank", "--output", "/made/variables"]
    for name in ("--set-pk", "--add-kek", "--add-db"):
        argv += [name, OWNER, "/made/db.crt"]
    with Workshop.opened(cache() / "host/room", [cache(), CLONE, work]) as workshop:
        hosttools.enter(workshop, tools, work)
        hosttools.run(workshop, tools, [*argv, "--secure-boot"], what="the firmware's variables")
    shutil.move(work / "variables", target)
    shutil.rmtree(work)
    return target


def place_of(image: HostImage, name: str) -> int:
    """Return where in the root's file the first bytes of a file lie. Raises SheltieError."""
    need_root()
    tools = hosttools.tree("tools", lambda _: None)
    with Workshop.opened(cache() / "host/room", [cache(), CLONE]) as workshop:
        hosttools.enter(workshop, tools, image.place)
        argv = ["dump.erofs", "-e", f"--path={name}", "/made/root"]
        lines = hosttools.run(workshop, tools, argv, what=name)
    found = EXTENT.search("\n".join(lines))
    if not found:
        raise FailedError(f"{name} has no place of its own in the root", code="BUILD_FAILED")
    return int(found[1])


def volume(files: Mapping[str, bytes], label: str, target: Path) -> Path:
    """Make a small FAT volume that holds `files`, and return it. Raises SheltieError."""
    need_root()
    tools = hosttools.tree("tools", lambda _: None)
    work = target.with_name(f"{target.name}-work")
    work.mkdir()
    for name, data in files.items():
        (work / name).write_bytes(data)
    with Workshop.opened(cache() / "host/room", [cache(), CLONE, work]) as workshop:
        hosttools.enter(workshop, tools, work)
        argv = ["mkfs.vfat", "-C", "-n", label, "/made/.volume", "2048"]
        hosttools.run(workshop, tools, argv, what="a volume")
        for name in files:
            argv = ["mcopy", "-i", "/made/.volume", f"/made/{name}", f"::{name}"]
            hosttools.run(workshop, tools, argv, what="a volume")
    shutil.move(work / ".volume", target)
    shutil.rmtree(work)
    return target


def on_esp(disk: Path, *commands: tuple[str, ...]) -> list[str]:
    """Run mtools' programs on a disk's ESP, `::` being its root; return what the last printed.

    Files that are copied there lie beside the disk: `/made/NAME`. Raises SheltieError.
    """
    need_root()
    tools = hosttools.tree("tools", lambda _: None)
    printed: list[str] = []
    with Workshop.opened(cache() / "host/room", [cache(), CLONE, disk.parent]) as workshop:
        hosttools.enter(workshop, tools, disk.parent)
        for program, *words in commands:
            argv = [program, "-i", f"/made/{disk.name}@@{ESP_OFFSET}", *words]
            printed = hosttools.run(workshop, tools, argv, what=f"{program} on the ESP")
    return printed
