"""Taking snapshots: a child enters the host's namespaces, reads, answers, ends; so long at most.

A child, because a dead network mount may hold whoever looks at it for ever, and because who entered
a mount namespace should not stay there.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Sequence

import msgspec

from admin.end import deputies
from admin.end.deputies import Left, Moment
from admin.ledger import reading
from admin.ledger.tables import Snapshot
from admin.ledger.tally import File
from admin.look.kernel import set_death_signal
from admin.report import network
from admin.sheltie import host, kernel
from contract.errors import FailedError, SheltieError, TimedOutError

__all__ = ["SECONDS", "Taken", "Taking", "take"]

SECONDS = 10.0
PIECE = 1 << 20
SIZE_MAX = 64 << 20
ALL = kernel.CLONE_NEWNS | kernel.CLONE_NEWUTS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWCGROUP


class Taken(msgspec.Struct, frozen=True):
    """A snapshot; how the paths asked for are; what deputies began since the moments asked for."""

    snapshot: Snapshot
    files: list[File | None]
    left: list[list[Left]]


class Taking:
    """A snapshot under way: `fileno` is readable whenever `more` has something to do."""

    def __init__(self, paths: Sequence[str], moments: Sequence[Moment]) -> None:
        """Begin. Raises OSError."""
        self._pipe, theirs = os.pipe()
        self.begun = time.monotonic()
        self._data = bytearray()
        self._pid = os.fork()
        if not self._pid:
            os.close(self._pipe)
            _child(theirs, paths, moments)
        os.close(theirs)
        os.set_blocking(self._pipe, False)

    def fileno(self) -> int:
        """Return the descriptor, for select."""
        return self._pipe

    def more(self) -> Taken | None:
        """Take what the child wrote; return the snapshot once it is whole.

        Raises FailedError (SNAPSHOT_FAILED), TimedOutError (SNAPSHOT_SLOW); then it is over.
        """
        try:
            while piece := os.read(self._pipe, PIECE):
                self._data += piece
                if len(self._data) > SIZE_MAX:
                    self.end()
                    raise FailedError("the snapshot is too large", code="SNAPSHOT_FAILED")
        except BlockingIOError:
            if time.monotonic() - self.begun < SECONDS:
                return None
            self.end()
            raise TimedOutError(
                f"the host's tables could not be read within {SECONDS:g} s",
                hint="something there hangs in the kernel",
                code="SNAPSHOT_SLOW",
            ) from None
        self.end()
        try:
            return msgspec.msgpack.decode(self._data, type=Taken)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise FailedError(
                "the snapshot's reader ended early", code="SNAPSHOT_FAILED"
            ) from error

    def end(self) -> None:
        """Let go of the child; one that hangs dies when the kernel lets it."""
        os.close(self._pipe)
        # The ledger lets the kernel bury its children, so it may be gone already.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)


def take(paths: Sequence[str] = (), moments: Sequence[Moment] = ()) -> Taken:
    """Enter the host and read; this process then stays there. Raises SheltieError, OSError."""
    left = [deputies.since(one) for one in moments]
    pidfd = host.find().pidfd
    kernel.setns(pidfd, kernel.CLONE_NEWNET)
    ruleset: list[str] | str
    try:
        ruleset = network.firewall().lines  # by nft of this container, before its files are gone
    except SheltieError as error:
        ruleset = error.message
    kernel.setns(pidfd, ALL)
    os.chdir("/")
    os.close(pidfd)
    return Taken(reading.read(ruleset), [_look(path) for path in paths], left)


def _look(path: str) -> File | None:
    try:
        about = os.lstat(path)
    except (OSError, ValueError):
        return None
    changed = max(about.st_mtime, about.st_ctime)
    return File(about.st_mode, about.st_uid, about.st_gid, changed)


def _child(pipe: int, paths: Sequence[str], moments: Sequence[Moment]) -> None:
    try:
        set_death_signal(signal.SIGKILL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # nft is waited for
        data = memoryview(msgspec.msgpack.encode(take(paths, moments)))
        while data:
            data = data[os.write(pipe, data[:PIECE]) :]
        os._exit(0)
    except (OSError, SheltieError) as error:
        line = error.line() if isinstance(error, SheltieError) else str(error)
        sys.stderr.write(f"ledger: no snapshot: {line}\n")
        sys.stderr.flush()
    finally:
        os._exit(1)
