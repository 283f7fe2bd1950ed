"""What a container was made of, kept beside it: for the next daemon, and for `hostd exec`."""

import msgspec

from contract.durable import read_file, write_file
from contract.errors import FailedError, SheltieError
from contract.status import Limits
from host.runtime.files import Files

__all__ = ["Made", "load", "save"]

VERSION = 1
_SIZE_MAX = 1 << 20


class Made(msgspec.Struct, frozen=True, rename="kebab"):
    """What was started, by which runtime, when (RFC 3339), and how often it was started again.

    `note` is what status says of it while it runs, empty when all is well.
    """

    runtime: str
    source: str
    superpowered: bool
    command: tuple[str, ...]
    digest: str
    since: str
    restarts: int = 0
    last_exit: int | None = None
    environment: tuple[tuple[str, str], ...] = ()
    limits: Limits | None = None
    note: str = ""
    version: int = VERSION


def load(files: Files) -> Made | None:
    """Return what is known of a container; None when nothing is, or nothing that can be read."""
    try:
        made = msgspec.json.decode(read_file(files.made, _SIZE_MAX), type=Made)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, SheltieError):
        return None
    return made if made.version == VERSION else None


def save(files: Files, made: Made) -> None:
    """Keep it, durably. Raises FailedError (STATE_UNWRITABLE)."""
    try:
        write_file(files.made, msgspec.json.encode(made))
    except OSError as error:
        raise FailedError(
            f"cannot write {files.made}: {error.strerror}", code="STATE_UNWRITABLE"
        ) from error
