"""The bundle of certificates that a container finds: the host's own, and those of the settings."""

import contextlib
from pathlib import Path
from typing import Final

from contract.durable import read_file, write_file
from contract.errors import FailedError, SheltieError
from host.runtime import facts

__all__ = ["read", "write"]

NAME: Final = "ca-bundle.crt"
"""Upstream's name below /etc/pki/tls/certs."""
_SIZE_MAX: Final = 32 << 20


def bundle(more: bytes) -> bytes:
    """Return the whole bundle, in which `more` comes after what the host trusts anyhow."""
    own = facts.host_certificates()
    return own + (b"" if own.endswith(b"\n") or not own else b"\n") + more


def read(directory: Path) -> bytes | None:
    """Return what the bundle in `directory` holds, None without one."""
    with contextlib.suppress(OSError, SheltieError):
        return read_file(directory / NAME, _SIZE_MAX)
    return None


def write(directory: Path, more: bytes) -> None:
    """Replace the bundle where it is another one; whoever runs sees the new one at once.

    Raises FailedError (STATE_UNWRITABLE).
    """
    whole = bundle(more)
    if read(directory) == whole:
        return
    try:
        write_file(directory / NAME, whole, 0o644)
    except OSError as error:
        raise FailedError(
            f"cannot write {directory / NAME}: {error.strerror}", code="STATE_UNWRITABLE"
        ) from error
