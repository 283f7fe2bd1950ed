"""What a session's processes did to files, summed up: what is otherwise in the end. Pure.

Bounded: so many paths; of what comes beyond only the number is kept.
"""

import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from admin.ledger import fanotify
from admin.ledger.tables import Change, plain

__all__ = ["PATHS_MAX", "File", "Tally"]

PATHS_MAX = 4096
DOUBTS_MAX = 256
"""Paths of which nobody knows whose they are."""
NEW = frozenset({"created", "put in place"})
SETUID = stat.S_ISUID | stat.S_ISGID
NO_FILES = (stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK)


class File(msgspec.Struct, frozen=True):
    """What lstat says of a path in the end."""

    mode: int
    uid: int
    gid: int
    changed: float
    """The later of mtime and ctime."""

    def text(self) -> str:
        """Return mode and owner as ls has them."""
        return f"{stat.filemode(self.mode)} {self.uid}:{self.gid}"


@dataclass
class _Path:
    """One path: what was there before, and what happened to what is there now."""

    existed: bool | None = True
    """None: nobody knows, because something was put there by another name."""
    own: bool = True
    """Whether there is what was there before, and not something else of that name."""
    origin: str = ""
    """Where what is there now was before the session."""
    moved_to: str = ""
    """Where what was there before is now."""
    removed: bool = False
    content: bool = False
    closed: bool = False
    attributes: bool = False
    doubt: bool = False
    """Whether nobody knows that it was the session: who did it was gone when it was asked."""
    fresh: bool = True
    open: bool = False
    """Whether `existed` can still be told: the first that happened was a rename to this path."""


@dataclass
class Tally:
    """The paths of one session; `more` is how many events found no room."""

    more: int = 0
    _paths: dict[str, _Path] = field(default_factory=dict)

    def add(self, mask: int, path: str, to: str = "", *, doubt: bool = False) -> None:
        """Take one event; one may stand for several that the kernel put together.

        With `doubt` it may be another's.
        """
        if path not in self._paths and len(self._paths) >= (DOUBTS_MAX if doubt else PATHS_MAX):
            self.more += 1
            return
        if mask & fanotify.RENAME:
            self._rename(path, to)
        else:
            self._change(mask, path)
        for one in filter(None, map(self._paths.get, (path, to))):
            # Once it was the session for sure, it stays so; else it is as the first event says.
            one.doubt = doubt and (one.fresh or one.doubt)
            one.fresh = False

    def _change(self, mask: int, path: str) -> None:
        # Of both in one event nobody knows which came first; what is there in the end decides.
        if mask & fanotify.CREATE:
            self._create(path)
        known = self._paths.get(path)
        if known is None:
            known = self._paths[path] = _Path()
        known.attributes |= bool(mask & fanotify.ATTRIB)
        known.content |= bool(mask & fanotify.MODIFY)
        known.closed |= bool(mask & fanotify.CLOSE_WRITE)
        if mask & fanotify.DELETE and not mask & fanotify.CREATE:
            self._delete(path)

    def paths(self) -> list[str]:
        """Return the paths to look at in the end."""
        return list(self._paths)

    def touched(self) -> list[str]:
        """Return the paths to which the session did something for sure."""
        return [path for path, known in self._paths.items() if not known.doubt]

    def changes(self, found: Mapping[str, File | None], began: float) -> Iterator[Change]:
        """Yield what is otherwise; `found` is how the paths are now, `began` when it all began."""
        told = {path: self._what(path, known, found, began) for path, known in self._paths.items()}
        new = {path for path, what in told.items() if what in NEW}
        inside = Counter(_highest(path, new) for path in new)
        for path, what in told.items():
            known, now = self._paths[path], found.get(path)
            whose: Literal["session", "perhaps"] = "perhaps" if known.doubt else "session"
            if now and what and stat.S_ISREG(now.mode) and now.mode & SETUID:
                yield Change("setuid", "added", plain(path), after=now.text(), whose=whose)
            if not what or (path in new and _highest(path, new) != path):
                continue  # what is in a new directory is new as well
            after = now.text() if now else plain(known.moved_to)
            if inside[path] > 1:
                after += f", and {inside[path] - 1} things in it"
            yield Change("file", what, plain(path), after=after, whose=whose)

    def replaced(self, to: str) -> None:
        """Take note that the last rename to a path took the place of something."""
        known = self._paths.get(to)
        if known is not None and known.open:
            known.existed, known.open = True, False

    def _create(self, path: str) -> None:
        known = self._paths.setdefault(path, _Path(existed=False, own=False))
        if known.existed is not False:
            self._lose(known)
            known.removed = known.content = known.closed = known.attributes = False

    def _delete(self, path: str) -> None:
        known = self._paths[path]
        self._lose(known)
        known.removed = True
        if not known.existed:
            del self._paths[path]  # it came and went

    def _lose(self, known: _Path) -> None:
        """Forget where that came from which is no more at a path, and where it went."""
        if known.origin in self._paths:
            self._paths[known.origin].moved_to = ""
        known.origin, known.moved_to, known.own = "", "", False

    def _rename(self, path: str, to: str) -> None:
        known = self._paths.pop(path, None) or _Path()
        for below in [one for one in self._paths if one.startswith(f"{path}/")]:
            self._paths[to + below[len(path) :]] = self._paths.pop(below)
        origin = known.origin or (path if known.own else "")
        if known.existed:
            left = _Path(own=False, removed=True, moved_to=known.moved_to, doubt=known.doubt)
            self._paths[path] = left
        if origin in self._paths:
            self._paths[origin].moved_to = to
        first = to not in self._paths
        there = self._paths.setdefault(to, _Path(existed=None, own=False))
        there.open = first
        if origin == to:  # it is back
            there.own, there.moved_to, there.origin = True, "", ""
        else:
            if there.origin != origin:
                self._lose(there)
            there.own, there.origin = False, origin
        there.removed = False
        there.content, there.closed = known.content, known.closed
        there.attributes = known.attributes

    def _what(self, path: str, known: _Path, found: Mapping[str, File | None], began: float) -> str:
        """Return what happened to a path, in a word; nothing where it is as before."""
        now = found.get(path)
        if now is None:
            gone = "renamed" if known.moved_to else "removed"
            return gone if known.existed and known.removed else ""
        if known.existed is False:
            return "created"
        if not known.own:
            source = self._paths.get(known.origin)
            if source and source.moved_to == path and found.get(known.origin) is None:
                return ""  # told of by the name that it had
            return "changed" if known.existed else "put in place"
        if stat.S_IFMT(now.mode) in NO_FILES:
            return "attributes" if known.attributes else ""
        if stat.S_ISBLK(now.mode) and (known.content or known.closed):
            return "device written"
        # Opened for writing and closed: a store through a memory map tells no more than that.
        if known.content or (known.closed and now.changed >= began):
            return "changed"
        return "attributes" if known.attributes else ""


def _highest(path: str, new: set[str]) -> str:
    """Return the highest directory above `path` that is new, or `path`."""
    highest = path
    while path := path.rpartition("/")[0]:
        if path in new:
            highest = path
    return highest
