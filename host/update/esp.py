"""The UKIs on the ESP: those that the loader sees, and prepared ones that it does not see.

    /EFI/Linux/NAME_VERSION[+LEFT-DONE].efi    the loader's own directory
    /EFI/sheltie/NAME_VERSION.efi              prepared; activating moves it to the other

FAT has no journal, and the kernel writes it when it likes: each change ends in a sync of the whole
file system, and what was written is read again from the disk before it counts.
"""

import contextlib
import ctypes
import errno
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from contract.errors import FailedError, MachineError
from host.update.names import Uki, order

__all__ = ["Esp"]

LINUX: Final = Path("EFI/Linux")
PREPARED: Final = Path("EFI/sheltie")
_SCRATCH: Final = ".new"
_PIECE: Final = 1 << 18
_libc = ctypes.CDLL(None, use_errno=True)


class Esp:
    """The ESP mounted at `place`, with the UKIs of image `name`; others' files are left alone."""

    def __init__(self, place: Path, name: str) -> None:
        self._place, self._name = place, name

    def ukis(self) -> list[Uki]:
        """Return what the loader sees, the first to boot first. Raises MachineError."""
        return order(self._listed(LINUX))

    def prepared(self) -> list[Uki]:
        """Return what was prepared. Raises MachineError."""
        return order(self._listed(PREPARED))

    def path(self, uki: Uki, *, prepared: bool = False) -> Path:
        """Return where a UKI lies."""
        return self._place / (PREPARED if prepared else LINUX) / uki.file

    def put(self, source: Path, uki: Uki, digest: str) -> None:
        """Copy a file here as a prepared UKI, and read it again.

        Raises MachineError (UPDATE_ESP_FULL), FailedError (UPDATE_UKI_DAMAGED).
        """
        target = self.path(uki, prepared=True)
        scratch = target.with_name(_SCRATCH)
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _copy(source, scratch)
            self._sync()
            self.check(scratch, digest)
            scratch.rename(target)
            self._sync()
        except OSError as error:
            raise self._failure(error) from error
        finally:
            with contextlib.suppress(OSError):
                scratch.unlink(missing_ok=True)

    def check(self, file: Path, digest: str) -> None:
        """Read a file again from the disk; one of another content is removed.

        Raises FailedError (UPDATE_UKI_DAMAGED), MachineError (ESP_UNUSABLE).
        """
        try:
            found = _read_again(file)
        except OSError as error:
            raise self._failure(error) from error
        if found != digest:
            self.remove([file])
            raise FailedError(
                f"{file.name} on the ESP is not what was written there",
                hint="prepare the update again",
                code="UPDATE_UKI_DAMAGED",
            )

    def move(self, old: Path, new: Path) -> None:
        """Rename a file for good. Raises MachineError (ESP_UNUSABLE)."""
        try:
            new.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            old.rename(new)
            self._sync()
        except OSError as error:
            raise self._failure(error) from error

    def remove(self, files: Iterable[Path]) -> None:
        """Remove files for good. Raises MachineError (ESP_UNUSABLE)."""
        try:
            for file in files:
                file.unlink(missing_ok=True)
            self._sync()
        except OSError as error:
            raise self._failure(error) from error

    def _listed(self, directory: Path) -> Iterable[Uki]:
        try:
            names = [path.name for path in (self._place / directory).iterdir()]
        except FileNotFoundError as error:
            # Without its first directory it is not the ESP of a host that booted from it.
            if directory == LINUX:
                raise self._failure(error) from error
            return []
        except OSError as error:
            raise self._failure(error) from error
        found = [Uki.parse(name) for name in names]
        return [uki for uki in found if uki is not None and uki.name == self._name]

    def _sync(self) -> None:
        descriptor = os.open(self._place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if _libc.syncfs(descriptor):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), str(self._place))
        finally:
            os.close(descriptor)

    def _failure(self, error: OSError) -> MachineError:
        if error.errno == errno.ENOSPC:
            return MachineError(
                f"there is no room on the ESP at {self._place}",
                hint=f"remove what does not belong into {self._place}, and try again",
                code="UPDATE_ESP_FULL",
            )
        return MachineError(
            f"the ESP at {self._place} cannot be used: {error.strerror or error}",
            hint="see the journal of its mount",
            code="ESP_UNUSABLE",
        )


def _copy(source: Path, target: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with source.open("rb") as stream:
        descriptor = os.open(target, flags, 0o600)
        try:
            while piece := stream.read(_PIECE):
                view = memoryview(piece)
                while view:
                    view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read_again(file: Path) -> str:
    """Return the SHA-256 of what the disk holds, not the kernel's memory of it."""
    seen = hashlib.sha256()
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        while piece := os.read(descriptor, _PIECE):
            seen.update(piece)
    finally:
        os.close(descriptor)
    return seen.hexdigest()
