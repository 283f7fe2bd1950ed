"""Telling a service manager how the daemon stands: sd_notify(3), one datagram a word."""

import asyncio
import logging
import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass

from host.logline import event

__all__ = ["Notifier"]

_log = logging.getLogger("host")


@dataclass(frozen=True, slots=True)
class Notifier:
    """Sends to `address`, nowhere when it is empty; a watchdog waits for at most `every` seconds.

    A manager that cannot be reached stops nobody.
    """

    address: str = ""
    every: float = 0.0

    @classmethod
    def taken(cls, environment: MutableMapping[str, str]) -> "Notifier":
        """Return the one that the environment names, and take it out.

        Runtimes would speak to the manager in the daemon's place, and hand it on to containers.
        """
        path = environment.pop("NOTIFY_SOCKET", "")
        micros, pid = (environment.pop(f"WATCHDOG_{name}", "") for name in ("USEC", "PID"))
        watched = micros.isdecimal() and pid in {"", str(os.getpid())}
        every = int(micros) / 1e6 if watched else 0.0
        # An @ stands for the abstract namespace's NUL (sd_notify(3)).
        return cls(f"\0{path[1:]}" if path.startswith("@") else path, every)

    def tell(self, *words: str) -> None:
        """Send the words, such as `READY=1`."""
        if not self.address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.settimeout(0)
                channel.sendto("\n".join(words).encode(), self.address)
        except OSError as error:
            _log.warning(event("not-notified", what=words[0], why=error.strerror))

    async def keep_watch(self) -> None:
        """Tell the watchdog twice in its time that the loop lives, until cancelled."""
        while self.address and self.every:
            self.tell("WATCHDOG=1")
            await asyncio.sleep(self.every / 2)
