"""Forwards of one connection, on the monitor's side: judged here, opened by processes of the user.

The listener asks and gets connected sockets; it can neither connect nor listen. All ends with the
connection.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from admin.session import account
from admin.session.carry import (
    Attend,
    AttendAgent,
    Came,
    Carried,
    Failed,
    Reach,
    Reached,
    Stands,
)
from admin.ssh.forwarding import (
    LISTENS_MAX,
    OPEN_MAX,
    TRIES_MAX,
    Forwarding,
    agent_refusal,
    listen_refusal,
    open_refusal,
)
from admin.ssh.frame import Channel
from admin.ssh.protocol import (
    Ask_,
    AskAgent,
    Denied,
    Grant,
    Incoming,
    Listen,
    Listening,
    Open,
    Opened,
    Unreached,
)
from contract.address import format_address
from contract.errors import SheltieError, UnavailableError

if TYPE_CHECKING:
    from admin.ssh.nursery import Spawner
    from admin.ssh.options import Options

__all__ = ["AGENTS", "Forwards"]

AGENTS = Path("/run/sheltie/agents")
"""Root's directory of the users' directories for sockets of agents: no user can swap theirs."""
TRIED_SECONDS = 20.0
"""How long a connection may take to open, its name's look-up included."""
NOBODY = 65534
TOLD_MAX = 20
"""Refusals that are told for one connection; later ones are only counted."""

Tell = Callable[[str, str], None]


class Carrier:
    """A process that opens or listens, by its channel and its pidfd."""

    def __init__(self, channel: "Channel[Carried, Carried]", pidfd: int) -> None:
        self.channel = channel
        self._pidfd = pidfd
        self._loop = asyncio.get_running_loop()
        self._answered: asyncio.Future[None] = self._loop.create_future()

    async def answer(self) -> tuple[Carried, list[int]]:
        """Return the first answer. Raises UnavailableError."""
        self._loop.add_reader(self.channel.fileno(), self._settle)
        try:
            await asyncio.wait_for(self._answered, TRIED_SECONDS)
            self._loop.remove_reader(self.channel.fileno())
            received = self.channel.receive()
        except TimeoutError as error:
            raise UnavailableError("it took too long") from error
        except (OSError, ValueError, SheltieError) as error:
            raise UnavailableError("it was given up") from error
        if received is None:
            raise UnavailableError("nothing could be tried")
        return received

    def close(self) -> None:
        """End it now; idempotent."""
        if self._pidfd < 0:
            return
        self._loop.remove_reader(self.channel.fileno())
        self.channel.close()
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        os.close(self._pidfd)
        self._pidfd = -1
        self._settle()

    def _settle(self) -> None:
        if not self._answered.done():
            self._answered.set_result(None)


class Forwards:
    """What one login forwards. `options` gives what its key allows now."""

    def __init__(
        self,
        on: Forwarding,
        user: str,
        options: "Callable[[], Options]",
        carriers: "Spawner",
        tell: Tell,
        agents: Path = AGENTS,
    ) -> None:
        self._on, self._user, self._options = on, user, options
        self._carriers, self._tell = carriers, tell
        self._agents = agents
        self._open = 0
        self._trying = 0
        self._refused = 0
        self._closed = False
        self._all: set[Carrier] = set()
        self._listening: dict[int, Carrier] = {}
        self._directory: Path | None = None
        # The session is told before the client asks: one path for the whole connection.
        self.agent = ""
        if on.agent and not agent_refusal(on, options()):
            self.agent = str(agents / secrets.token_hex(8) / "agent")

    async def open(self, ask: Open, channel: "Channel[Grant, Ask_]") -> None:
        """Connect for the client, where it may."""
        where = format_address(ask.host[:80], ask.port)
        why = open_refusal(self._on, self._options(), ask.host, ask.port)
        if not why and (self._open >= OPEN_MAX or self._trying >= TRIES_MAX):
            why = "there are too many forwarded connections"
        if why:
            self._deny(ask.id, f"open {where}: {why}", channel)
            return
        self._open += 1
        self._trying += 1
        carrier = None
        try:
            carrier = await self._start(Reach(self._user, ask.host, ask.port))
            answer, descriptors = await carrier.answer()
        except (SheltieError, OSError) as error:
            answer, descriptors = Failed(str(error)), []
        finally:
            self._trying -= 1
            if carrier is not None:
                self._end(carrier)
        with _closing(descriptors):
            if self._closed:
                return
            if isinstance(answer, Reached) and len(descriptors) == 1:
                self._tell("forward", f"open {where}")
                channel.send(Opened(ask.id), descriptors)
                return
            self._open -= 1
            why = answer.why if isinstance(answer, Failed) else "no answer"
            self._tell("forward", f"open {where}: in vain: {why}")
            channel.send(Unreached(ask.id, why[:200]))

    async def listen(self, ask: Listen, channel: "Channel[Grant, Ask_]") -> None:
        """Listen on a port for the client, where it may."""
        where = format_address(ask.host[:80] or "*", ask.port)
        root = self._ids()[0] == 0
        why = listen_refusal(self._on, self._options(), ask.host, ask.port, root=root)
        if not why and len(self._listening) + self._trying >= LISTENS_MAX:
            why = "there are too many ports"
        if why or ask.id in self._listening:
            self._deny(ask.id, f"listen {where}: {why or 'it is on already'}", channel)
            return
        task = Attend(self._user, ask.host, ask.port)
        await self._attend(ask.id, task, f"listen {where}", channel)

    async def ask_agent(self, ask: AskAgent, channel: "Channel[Grant, Ask_]") -> None:
        """Let programs here reach the client's agent, where it may; once for a connection."""
        why = agent_refusal(self._on, self._options())
        if not why and (not self.agent or self._directory is not None):
            why = "it is on already"
        if why:
            self._deny(ask.id, f"agent: {why}", channel)
            return
        directory = self._directory = Path(self.agent).parent
        try:
            self._agents.mkdir(mode=0o711, parents=True, exist_ok=True)
            self._agents.chmod(0o711)  # whatever the umask says
            directory.mkdir(mode=0o700)
            os.chown(directory, *self._ids())
        except OSError as error:
            self._tell("forward", f"agent: in vain: {error.strerror}")
            channel.send(Unreached(ask.id, "no directory"))
            return
        await self._attend(ask.id, AttendAgent(self._user, self.agent), "agent", channel)

    def unlisten(self, number: int) -> None:
        """End what was listened on."""
        carrier = self._listening.pop(number, None)
        if carrier is not None:
            self._end(carrier)

    def ended(self) -> None:
        """Take note that a forwarded connection ended: the listener's word.

        One that lies gains nothing: its own limit of descriptors stands.
        """
        self._open = max(0, self._open - 1)

    def close(self) -> None:
        """End everything; idempotent."""
        self._closed = True
        for carrier in tuple(self._all):
            self._end(carrier)
        self._listening.clear()
        if self._refused > TOLD_MAX:
            self._tell("forward-refused", f"{self._refused - TOLD_MAX} more")
        if self._directory is not None:
            _remove(self._directory)

    @property
    def busy(self) -> bool:
        """Whether something is forwarded just now."""
        return bool(self._open)

    def _ids(self) -> tuple[int, int]:
        """Return the login user's uid and gid; nobody's where there is no such user."""
        try:
            found = account.find(self._user)
        except KeyError:
            return NOBODY, NOBODY
        return found.uid, found.gid

    async def _start(self, task: Reach | Attend | AttendAgent) -> Carrier:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)  # noqa: FBT003  its only form
        try:
            with theirs:
                data = msgspec.msgpack.encode(task)
                pidfd = await self._carriers.spawn(data, [theirs.fileno()])
        except BaseException:
            ours.close()
            raise
        carrier = Carrier(Channel(ours, Carried), pidfd)
        self._all.add(carrier)
        if self._closed:
            self._end(carrier)
            raise UnavailableError("the connection ended")
        return carrier

    def _end(self, carrier: Carrier) -> None:
        self._all.discard(carrier)
        carrier.close()

    async def _attend(
        self, number: int, task: Attend | AttendAgent, what: str, channel: "Channel[Grant, Ask_]"
    ) -> None:
        carrier = None
        self._trying += 1
        try:
            carrier = await self._start(task)
            answer, descriptors = await carrier.answer()
            with _closing(descriptors):
                if not isinstance(answer, Stands):
                    raise UnavailableError(
                        answer.why if isinstance(answer, Failed) else "no answer"
                    )
        except (SheltieError, OSError) as error:
            if carrier is not None:
                self._end(carrier)
            if self._closed:
                return
            self._tell("forward", f"{what}: in vain: {error}")
            channel.send(Unreached(number, str(error)[:200]))
            return
        finally:
            self._trying -= 1
        self._listening[number] = carrier
        self._tell("forward", f"{what}: port {answer.port}" if answer.port else what)
        channel.send(Listening(number, answer.port))
        loop = asyncio.get_running_loop()
        loop.add_reader(carrier.channel.fileno(), self._came, number, carrier, channel)

    def _came(self, number: int, carrier: Carrier, channel: "Channel[Grant, Ask_]") -> None:
        """Hand on whom a port or the agent's socket was opened by."""
        try:
            received = carrier.channel.receive()
        except BlockingIOError:
            return
        except (SheltieError, OSError):
            received = None
        if received is None:
            self.unlisten(number)  # it ended
            return
        came, descriptors = received
        with _closing(descriptors):
            if not isinstance(came, Came) or len(descriptors) != 1 or self._open >= OPEN_MAX:
                return
            try:
                channel.send(Incoming(number, came.host, came.port), descriptors)
            except OSError:
                return  # the listener is behind, or gone: whoever came sees the end
            self._open += 1
            if came.port:
                self._tell("forward", f"from {format_address(came.host, came.port)}")

    def _deny(self, number: int, what: str, channel: "Channel[Grant, Ask_]") -> None:
        self._refused += 1
        if self._refused <= TOLD_MAX:
            self._tell("forward-refused", what)
        channel.send(Denied(number))


@contextlib.contextmanager
def _closing(descriptors: list[int]) -> Iterator[None]:
    try:
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _remove(directory: Path) -> None:
    """Remove a user's directory, whatever is in it: the one above is root's, so it is still it."""
    try:
        (directory / "agent").unlink(missing_ok=True)
        directory.rmdir()
    except OSError:
        # In a thread: it holds what the user put there, as much as they liked.
        asyncio.get_running_loop().run_in_executor(None, _remove_all, directory)


def _remove_all(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
