"""Which consoles the kernel has, and how agetty is run on one. Pure; upstream's rules.

Upstream's admin container starts getty units for every `console=` on the kernel's command line that
the host has a device for, serial ones with these speeds.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Console", "consoles"]

SPEEDS = "115200,57600,38400,9600"
TERMINAL = "xterm-256color"
CURRENT = "tty0"
FIRST = "tty1"
CONSOLES_MAX = 8
_SERIAL = re.compile(r"(ttyS|ttyAMA|ttyUSB|hvc)[0-9]{1,3}")
_SCREEN = re.compile(r"tty[0-9]{0,2}")


@dataclass(frozen=True)
class Console:
    """A console by the name of its device."""

    name: str

    def argv(self, agetty: str) -> list[str]:
        """Return how agetty is run on it."""
        if _SERIAL.fullmatch(self.name):
            return [agetty, "--keep-baud", SPEEDS, self.name, TERMINAL]
        return [agetty, "--noclear", self.name, "linux"]


def consoles(cmdline: str, present: Callable[[str], bool]) -> tuple[Console, ...]:
    """Return the consoles of a kernel's command line of which the host has the device."""
    names: list[str] = []
    for word in cmdline.split():
        name = word.removeprefix("console=").partition(",")[0]
        if not word.startswith("console=") or not (
            _SERIAL.fullmatch(name) or _SCREEN.fullmatch(name)
        ):
            continue
        # tty0 and tty stand for whichever screen is shown: the login is on the first.
        name = FIRST if name in ("tty", CURRENT) else name
        if name not in names and present(name):
            names.append(name)
    return tuple(Console(name) for name in names[:CONSOLES_MAX])
