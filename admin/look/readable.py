"""What Landlock lets a look open: for reading everywhere but where FIFOs lie, for writing nowhere.

To read a FIFO takes from its reader and lets its writer go on; a container runtime's exec.fifo
would start a container. Landlock tells files apart by their place only: so the directories where
daemons keep their FIFOs are granted piece by piece, as they are when the look starts.
"""

from __future__ import annotations

import os
from stat import S_ISFIFO

from admin.look import kernel, rights

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from admin.look.mounts import Table

__all__ = ["Rules"]

PIECEMEAL = ("/run", "/tmp", "/var/tmp", "/var/spool", "/var/run")  # noqa: S108  only read
OPENED = ("/", "/var")
"""Granted by their entries, because one of these is piecemeal."""
_ENGINES = "containerd host-containerd runc crun crio docker containers libpod podman conmon"
NEVER_WHOLE = frozenset(_ENGINES.split())
"""Where FIFOs come and go: only the regular files that are there."""
ENTRIES_MAX = 2048
"""Of one piecemeal directory: 10 ms at the most. What lies behind is not granted."""
CHILD_MAX = 256
"""Of one entry of it, so that a large one does not use up the others' share."""


class Rules:
    """A ruleset in the making."""

    def __init__(self, abi: int, table: Table) -> None:
        self._handled = rights.files(abi)
        self._table = table
        self._left = self._share = 0
        self._ruleset = kernel.make_ruleset(self._handled, rights.network(abi), rights.scopes(abi))

    def grant_host(self) -> None:
        """Grant reading, wherever no FIFO is expected."""
        for directory in OPENED:
            for entry in _entries(directory):
                if entry.path in OPENED or entry.path == "/dev" or entry.is_symlink():
                    continue
                if entry.path in PIECEMEAL:
                    self._grant_pieces(entry.path)
                elif not _is_fifo(entry):
                    self.grant(entry.path, rights.READ_FILE)

    def grant(self, path: str, allowed: int) -> None:
        """Grant `allowed` at `path`, unless that is gone."""
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return  # gone meanwhile, or nothing that a name leads to: not granted
        try:
            self.grant_descriptor(descriptor, allowed)
        finally:
            os.close(descriptor)

    def grant_descriptor(self, descriptor: int, allowed: int) -> None:
        """Grant `allowed`, as far as this kernel knows it, on an open file or directory."""
        kernel.add_rule(self._ruleset, allowed & self._handled, descriptor)

    def enforce(self) -> None:
        """Live by the rules from now on."""
        kernel.restrict_self(self._ruleset)
        os.close(self._ruleset)

    def _grant_pieces(self, directory: str) -> None:
        """Grant the entries of a piecemeal directory that hold no FIFO, never itself."""
        self._left = ENTRIES_MAX
        for entry in _entries(directory):
            self._share = CHILD_MAX
            if not entry.is_symlink() and self._is_safe(entry, whole=True):
                self.grant(entry.path, rights.READ_FILE)

    def _is_safe(self, entry: os.DirEntry[str], *, whole: bool) -> bool:
        """Say whether an entry may be granted; of a directory that may not, grant the parts."""
        self._left -= 1
        self._share -= 1
        if self._left < 0 or self._share < 0:
            return False
        if not entry.is_dir(follow_symlinks=False):
            return not _is_fifo(entry)
        # What may hang is not walked, so nobody knows what is in it.
        if self._table.may_hang(entry.path):
            return False
        whole = whole and entry.name not in NEVER_WHOLE
        inner = [one for one in _entries(entry.path) if not one.is_symlink()]
        safe = [one for one in inner if self._is_safe(one, whole=whole)]
        if whole and len(safe) == len(inner):
            return True
        for one in safe:
            self.grant(one.path, rights.READ_FILE)
        return False


def _is_fifo(entry: os.DirEntry[str]) -> bool:
    # Both by what the directory says: to ask a mount on it, one whose server is dead, would hang.
    if entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False):
        return False
    try:
        return S_ISFIFO(entry.stat(follow_symlinks=False).st_mode)
    except OSError:
        return True  # unknown, so not granted


def _entries(directory: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as found:
            yield from found
    except OSError:
        return  # gone, or not to be listed: then nothing in it is granted
