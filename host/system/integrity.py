"""Whether the root is still what its hash stands for, told by the kernel the moment it is not.

dm-verity checks each block as it is read: a wrong one is an I/O error for the reader and a uevent
for us. What was found before we listened is in the device's state, which is asked at the start.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from contract import verity
from contract.event import Event, ImageCorrupted
from host.logline import event
from host.system import uevent

__all__ = ["BLOCKS_MAX", "Integrity", "Note"]

MOUNTS: Final = Path("/proc/1/mountinfo")
VARIABLE: Final = "DM_VERITY_ERR_BLOCK_NR"
KINDS: Final[Mapping[str, str]] = {"0": "data", "1": "hash"}
BLOCKS_MAX: Final = 100
"""Blocks that are told one by one; the kernel itself tells of no more."""

Note = Callable[[Event], object]

_log = logging.getLogger("host.system")


class Integrity:
    """Watches the device MAJOR:MINOR; none is watched where the root is not under verity."""

    def __init__(self, numbers: str, note: Note, ask: Callable[[str], str] = verity.state) -> None:
        self._numbers = numbers
        self._note = note
        self._ask = ask
        self._told: dict[tuple[str, int], None] = {}
        self.state = ""
        """`verified`, `corrupted`, or nothing where it is not known."""

    @classmethod
    def of_root(cls, note: Note, mounts: Path = MOUNTS) -> "Integrity":
        """Watch what the host's root lies on."""
        try:
            numbers = verity.device(mounts.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            numbers = ""
        return cls(numbers if verity.is_verity(numbers) else "", note)

    @property
    def problems(self) -> list[str]:
        """Return what is wrong: one sentence, or none."""
        if self.state != verity.CORRUPTED:
            return []
        which = ", ".join(f"{kind} block {number}" for kind, number in self._told) or "a block"
        return [f"the image on the disk is corrupted ({which}): update the host, or roll it back"]

    async def keep(self) -> None:
        """Listen until cancelled."""
        if not self._numbers:
            return
        try:
            async for message in uevent.follow():
                if message is None:
                    self.look()
                else:
                    self.hear(message)
        except OSError as error:
            _log.warning(event("integrity-unwatched", why=error))

    def look(self) -> None:
        """Ask the kernel how it stands, and tell a corruption that nobody has heard of."""
        state = self._ask(self._numbers)
        known, self.state = self.state, state or self.state
        if state == verity.CORRUPTED != known and not self._told:
            self._tell(ImageCorrupted())

    def hear(self, message: Mapping[str, str]) -> None:
        """Take a message of the kernel's; each wrong block of our device is told once."""
        if f"{message.get('MAJOR')}:{message.get('MINOR')}" != self._numbers:
            return
        kind, _, number = message.get(VARIABLE, "").partition(",")
        if kind not in KINDS or not (number.isascii() and number.isdigit()):
            return
        self.state = verity.CORRUPTED
        block = (KINDS[kind], int(number))
        if block not in self._told and len(self._told) < BLOCKS_MAX:
            self._told[block] = None
            self._tell(ImageCorrupted(*block))

    def _tell(self, what: ImageCorrupted) -> None:
        _log.error(event("image-corrupted", kind=what.kind, block=what.block))
        self._note(what)
