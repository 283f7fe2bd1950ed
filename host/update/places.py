"""Where the engine finds things, and where it puts them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from host.update import disk, firmware

__all__ = ["SIGNATURE", "SIZES", "SUMS", "Places"]

SUMS: Final = "SHA256SUMS"
SIGNATURE: Final = "SHA256SUMS.gpg"
SIZES: Final = "sizes.json"


@dataclass(frozen=True, slots=True)
class Places:
    """`staging` is what the transfer files of `definitions` name as their source."""

    staging: Path
    esp: Path = Path("/boot")
    definitions: Path = Path("/usr/lib/sysupdate.d")
    keyring: Path = Path("/usr/lib/systemd/import-pubring.gpg")
    variables: Path = firmware.VARIABLES
    disk: Callable[[], Path] = disk.whole_disk
    program: tuple[str, ...] = ("/usr/lib/systemd/systemd-sysupdate",)

    @property
    def notes(self) -> Path:
        """Why versions were set aside."""
        return self.staging / "notes.json"

    @property
    def status(self) -> Path:
        """How the last command ended."""
        return self.staging / "status.json"
