"""Which keys control added to admin's user-data on a stock host, so that it can take them out.

One file, in a directory that `control boot` makes as root for group `api`: an operator's session is
not root, and whoever may use the API may do all of this anyhow.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from contract import durable, places
from contract.errors import MachineError, SheltieError

__all__ = ["Remembered", "prepare"]

DIRECTORY: Final = "admin-keys"
FILE: Final = "admin-keys.json"
LIMIT: Final = 4 << 20
SHARED: Final = 0o2770
_FILE_MODE: Final = 0o660


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    keys: list[str]
    version: int = 1


class Remembered:
    """The list under `persistent`, control's persistent directory."""

    def __init__(self, persistent: Path) -> None:
        self._directory = persistent / DIRECTORY
        self._file = self._directory / FILE

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep others from changing user-data and list meanwhile. Raises MachineError."""
        with _explained(self._directory):
            if not self._directory.is_dir():
                durable.ensure_directory(self._directory)
            descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def load(self) -> tuple[str, ...]:
        """Return the key lines. Raises MachineError when the file cannot be understood."""
        with _explained(self._file):
            try:
                data = durable.read_file(self._file, LIMIT)
            except FileNotFoundError:
                return ()
            try:
                return tuple(msgspec.json.decode(data, type=_Document).keys)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise MachineError(
                    f"cannot understand {self._file}: {error}",
                    hint="look at it, take these keys out of admin's user-data, and remove it",
                    code="KEYS_NOT_REMEMBERED",
                ) from error

    def save(self, keys: Sequence[str]) -> None:
        """Replace the list, durably. Raises MachineError; nothing was changed then."""
        with _explained(self._file):
            if keys:
                durable.write_file(
                    self._file, msgspec.json.encode(_Document(list(keys))), _FILE_MODE
                )
            elif self._directory.is_dir():
                durable.remove_file(self._file)


def prepare(persistent: Path) -> None:
    """Make the directory for whoever is in group `api`; for root, at the container's start.

    Raises MachineError.
    """
    directory = persistent / DIRECTORY
    with _explained(directory):
        durable.ensure_directory(directory)
        os.chown(directory, 0, places.API_GID)
        directory.chmod(SHARED)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what is wrong with `path` into one error that says why it matters."""
    try:
        yield
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    except SheltieError as error:
        if error.code not in {"DIRECTORY_UNUSABLE", "FILE_TOO_LARGE"}:
            raise
        raise _unusable(path, error.message) from error


def _unusable(path: Path, why: str) -> MachineError:
    return MachineError(
        f"cannot remember which keys were handed over ({path}: {why}), so none was",
        hint="run `control boot` as root once, or hand over no key",
        code="KEYS_NOT_REMEMBERED",
    )
