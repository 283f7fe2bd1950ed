"""Where a daemon lives, and having these places to itself."""

import errno
import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contract import durable
from contract.errors import MachineError, UsageError
from contract.places import RUN, SOCKET_PATH_MAX
from host.api.listener import SOCKET_NAME
from host.callers import HOST
from host.lock import Lock

__all__ = ["Places", "is_ill", "own_run", "own_state"]

_ILL: Final = frozenset(
    {
        errno.ENOENT,
        errno.EROFS,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EIO,
        errno.ENODEV,
        errno.ENXIO,
        errno.ESTALE,
        errno.EUCLEAN,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
    }
)
"""What a medium answers that is full, read-only, broken or not there: no mistake of anybody's."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a daemon lives. `socket` is the host's own API socket."""

    state: Path
    run: Path
    socket: Path

    @classmethod
    def of(cls, state: Path, run: Path, socket: Path | None = None) -> "Places":
        """Return the places, the socket at its usual one; UsageError (PATH_TOO_LONG).

        Somebody who is not root may not use the system's run directory, and gets one of their own.
        """
        if os.geteuid() and run == Path(RUN):
            run = state / "run"
        state, run = state.absolute(), run.absolute()
        places = cls(state, run, (socket or run / "api" / HOST.label / SOCKET_NAME).absolute())
        size = len(os.fsencode(places.socket))
        if size > SOCKET_PATH_MAX:
            raise UsageError(
                f"{places.socket} is {size} bytes long, a socket's path ends at {SOCKET_PATH_MAX}",
                hint="choose a shorter --run or --socket",
                code="PATH_TOO_LONG",
            )
        return places


def own_run(places: Places) -> Lock:
    """Make and lock RUN; whoever may not be root can still enter it.

    Raises MachineError (DIRECTORY_UNUSABLE), ConflictError (DAEMON_RUNNING).
    """
    # Every file of ours has its mode set; umoci and the like make what the world may read.
    os.umask(0o022)
    # Each container has a socket of its own, with connections.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    _own(places.run, 0o711)
    durable.ensure_directory(places.run / "api", 0o711)
    durable.ensure_directory(places.run / "api" / HOST.label, 0o711)
    _make(places.socket.parent, 0o711)
    return Lock(places.run)


def own_state(places: Places) -> Lock:
    """Make and lock STATE. Raises as `own_run`; `is_ill` tells a sick medium from a mistake."""
    _own(places.state, 0o700)
    return Lock(places.state)


def is_ill(error: BaseException) -> bool:
    """Return whether the medium is to blame: the daemon can do without it for a while."""
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and cause.errno in _ILL


def _own(path: Path, mode: int) -> None:
    """Make a directory; one that is there keeps its mode and must be nobody else's to write.

    Raises MachineError (DIRECTORY_UNUSABLE).
    """
    found = _make(path, mode)
    if found.st_uid not in {0, os.geteuid()} or found.st_mode & 0o022:
        raise MachineError(
            f"directory {path} may be written by others",
            hint="name a directory of the daemon's own",
            code="DIRECTORY_UNUSABLE",
        )


def _make(path: Path, mode: int) -> os.stat_result:
    try:
        if path.is_symlink():
            return path.stat()  # it may lead into a partition that is not mounted
        path.mkdir(mode, parents=True, exist_ok=True)
        return path.stat()
    except OSError as error:
        why = f"cannot make directory {path}: {error.strerror}"
        raise MachineError(why, code="DIRECTORY_UNUSABLE") from error
