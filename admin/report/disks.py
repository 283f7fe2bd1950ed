"""How full the host's file systems are."""

import os

from admin.look.mounts import Table as Mounts
from admin.report.wire import Table

__all__ = ["disk"]

COLUMNS = ["mount", "kind", "source", "size", "used", "available", "use%", "inodes%"]


def disk(root: int = 1) -> Table:
    """Return each file system once, at its first mount; sizes in bytes.

    One whose server may be gone is named and not asked.
    """
    with open(f"/proc/{root}/mountinfo", encoding="utf-8", errors="backslashreplace") as file:  # noqa: PTH123  not a path of somebody's
        text = file.read()
    table = Mounts(text)
    sources = [line.partition(" - ")[2].split(" ")[1] for line in text.splitlines()]
    rows: list[list[str | int]] = []
    seen, silent = set(), []
    for mount, source in zip(table.mounts, sources, strict=True):
        if mount.device in seen:
            continue
        seen.add(mount.device)
        if table.may_hang(mount.point):
            silent.append(mount.point)
            continue
        try:
            full = os.statvfs(f"/proc/{root}/root{mount.point}")
        except OSError:
            continue  # covered by a later mount
        if full.f_blocks:
            rows.append([mount.point, mount.kind, source, *_figures(full)])
    notes = [f"not asked, since its server may be gone: {point}" for point in silent]
    return Table(COLUMNS, rows, notes)


def _figures(full: os.statvfs_result) -> list[int]:
    used = full.f_blocks - full.f_bfree
    files = full.f_files - full.f_ffree
    return [
        full.f_blocks * full.f_frsize,
        used * full.f_frsize,
        full.f_bavail * full.f_frsize,
        # As df(1): of what others than root may fill, rounded up.
        -(-100 * used // max(used + full.f_bavail, 1)),
        -(-100 * files // max(full.f_files, 1)),
    ]
