"""The consoles, attended while somebody could log in there; what happens, told as the door tells.

Without a password in user-data nobody could: then a console is left to whoever else has it, which
on the host's own image leads into control.
"""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from admin.console.attend import Told
from admin.console.plan import Console, consoles
from admin.keeper.log import event
from admin.ssh.control import Event
from admin.ssh.frame import Channel
from contract.errors import UsageError
from contract.places import HOST_ROOT
from contract.rpc import SessionShown
from contract.userdata import ACCESS

__all__ = ["Consoles", "found"]

_log = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0
"""Between two turns at a console; agetty on a line that hangs up at once must not race."""
FAILED_SECONDS = 30.0
"""After a turn that was over at once."""


def found() -> tuple[Console, ...]:
    """Return the consoles of this machine's kernel; none where nothing can be read."""
    try:
        cmdline = Path("/proc/cmdline").read_text()
    except (OSError, UnicodeDecodeError):
        return ()
    return consoles(cmdline, lambda name: Path(HOST_ROOT, "dev", name).is_char_device())


class Consoles:
    """Attends `those` for the user that is wanted; `heard` hears what happens."""

    def __init__(self, those: tuple[Console, ...], heard: Callable[[Event], None]) -> None:
        self._those, self._heard = those, heard
        self.user = ""
        """For whom the consoles are attended."""
        self._wanted = asyncio.Event()
        self._live: set[Channel[Told, Told]] = set()
        self.shown: dict[str, SessionShown] = {}

    def want(self, user: str) -> None:
        """Attend for `user`, or for nobody: who is logged in stays until they leave."""
        if user == self.user:
            return
        self.user = user
        (self._wanted.set if user else self._wanted.clear)()
        for channel in self._live:
            with contextlib.suppress(OSError):  # its process just ended
                channel.socket.shutdown(socket.SHUT_WR)

    async def run(self) -> None:
        """Attend until cancelled, also where there is no console."""
        never = asyncio.get_running_loop().create_future()
        await asyncio.gather(never, *(self._attend(one) for one in self._those))

    async def _attend(self, console: Console) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wanted.wait()
            begun = loop.time()
            try:
                await self._turn(console, self.user)
            except OSError as error:
                _log.error(event("console", console=console.name, why=str(error)))
            quick = loop.time() - begun < AGAIN_SECONDS and self._wanted.is_set()
            await asyncio.sleep(FAILED_SECONDS if quick else AGAIN_SECONDS)

    async def _turn(self, console: Console, user: str) -> None:
        """Attend once, to the end of a login."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)  # noqa: FBT003  its only form
        channel: Channel[Told, Told] = Channel(ours, Told)
        reader = Reader(channel, lambda told: self._note(console.name, told))
        self._live.add(channel)
        try:
            with theirs:
                end = theirs.fileno()
                argv = ["-I", "-m", "admin.console.attend", str(end), console.name, user]
                process = await asyncio.create_subprocess_exec(
                    sys.executable, *argv, pass_fds=[end], stdin=asyncio.subprocess.DEVNULL
                )
            await process.wait()
            reader.drain()
        finally:
            self._live.discard(channel)
            reader.close()
            channel.close()
            self.shown.pop(console.name, None)

    def _note(self, name: str, told: Told) -> None:
        peer = f"console {name}"
        match told.what:
            case "open":
                since = datetime.now(UTC).isoformat(timespec="seconds")
                shown = SessionShown(told.session, told.user, since, peer, "password", tty=True)
                self.shown[name] = shown
                self._tell("login", name, told)
                self._tell("session", name, told)
            case "close" if self.shown.pop(name, None) is not None:
                self._tell("session-end", name, told)
            case "refused":
                self._heard(Event("refused", peer, told.user, detail="the password is not theirs"))

    def _tell(self, what: str, name: str, told: Told) -> None:
        """Tell as the monitor tells of its logins, with the password for a key."""
        session = "" if what == "login" else told.session
        self._heard(
            Event(what, f"console {name}", told.user, "password", session, access=ACCESS[0])
        )


class Reader:
    """Reads what a turn tells, as it comes."""

    def __init__(self, channel: "Channel[Told, Told]", told: Callable[[Told], None]) -> None:
        self._channel, self._told = channel, told
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(channel.fileno(), self.drain)

    def drain(self) -> None:
        """Take what is there."""
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    received = self._channel.receive()
                except UsageError:
                    continue
                if received is None:
                    self.close()
                    return
                self._told(received[0])

    def close(self) -> None:
        """Read no more; idempotent."""
        self._loop.remove_reader(self._channel.fileno())
