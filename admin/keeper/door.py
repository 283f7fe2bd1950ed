"""The door: user-data and a running SSH monitor, kept together whatever either of them does."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from admin.boot.machine import Booted, boot
from admin.console.plan import Console
from admin.keeper import checking, policy
from admin.keeper.consoles import Consoles
from admin.keeper.log import event
from admin.keeper.report import Report
from admin.ssh.client import MonitorLink
from admin.ssh.control import Configure, Event, Ready
from contract.address import format_address
from contract.durable import read_file
from contract.errors import MachineError, SheltieError, UnavailableError
from contract.rpc import CheckShown, RefusalShown, SessionShown
from contract.userdata import ACCESS, LIMIT, UserData

__all__ = ["Boot", "Delay", "Door", "Wishes"]

_log = logging.getLogger(__name__)

Boot = Callable[[UserData, Mapping[str, str]], Booted]

FIRST_SECONDS = 0.5
LAST_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""A monitor that ran for so long did not fail at its start: the delay begins anew."""


@dataclass(frozen=True)
class Wishes:
    """What the command line says. `listen` None leaves the address to user-data."""

    user_data: Path
    host_keys: Path
    listen: tuple[str, int] | None = None


class Delay:
    """How long to wait before the next attempt: doubled each time, up to a limit."""

    def __init__(self) -> None:
        self._next = FIRST_SECONDS

    def take(self, ran: float) -> float:
        """Return the delay in seconds after a run of `ran` seconds."""
        if ran >= STEADY_SECONDS:
            self._next = FIRST_SECONDS
        now, self._next = self._next, min(2 * self._next, LAST_SECONDS)
        return now


class Door:
    """Runs the monitor by user-data. `report` is how it stands now; `boot` makes the account.

    `told` hears all that the monitor tells; `those` are the consoles that are attended, by somebody
    who runs `consoles`.
    """

    def __init__(
        self,
        wishes: Wishes,
        boot: Boot = boot,
        told: Callable[[Event], None] | None = None,
        those: tuple[Console, ...] = (),
    ) -> None:
        self._wishes, self._boot, self._told = wishes, boot, told
        self.consoles = Consoles(those, self._heard)
        self._changed = asyncio.Event()
        self._found: tuple[bytes | None, tuple[str, ...]] = (None, ())
        self._policy = policy.read(None)
        self._booted: Booted | None = None
        self._link: MonitorLink | None = None
        self._addresses: list[tuple[str, int]] = []
        self._checking = asyncio.Lock()
        self.report = Report(user="")

    def changed(self) -> None:
        """Take note that user-data may have changed."""
        self._changed.set()

    async def sessions(self) -> list[SessionShown]:
        """Return the live sessions; while the monitor is away, those at consoles."""
        here = list(self.consoles.shown.values())
        if self._link is None or self.report.trouble:
            return here
        try:
            return [*here, *(await self._link.status()).sessions]
        except SheltieError:
            return here

    async def check(self) -> CheckShown:
        """Have the door looked at from outside, and keep the result for the status.

        Raises UnavailableError (DOOR_NOT_READY), TimedOutError, FailedError (CHECK_FAILED).
        """
        async with self._checking:  # one at a time: each knocks as a stranger
            report = self.report
            if report.trouble or not report.listen:
                raise UnavailableError(
                    f"there is no door to check: {report.trouble}", code="DOOR_NOT_READY"
                )
            shown = await checking.run(report.listen[0], report.user, self._wishes.host_keys)
            self.report = replace(self.report, check=shown)
        _log.info(event("check", ok=shown.ok, where=shown.where, seen=shown.seen[-1]))
        return shown

    async def run(self) -> None:
        """Keep the monitor running until cancelled, which ends it."""
        delay, loop = Delay(), asyncio.get_running_loop()
        while True:
            begun = loop.time()
            try:
                await self._once()
            except SheltieError as error:
                trouble = error
            except OSError as error:
                trouble = MachineError(f"the SSH server cannot be started: {error}")
            seconds = delay.take(loop.time() - begun)
            self._down(trouble, seconds)
            # New user-data may name another address: then there is no reason to wait.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), seconds)

    async def _once(self) -> NoReturn:
        """Run a monitor to its end. Raises SheltieError, OSError."""
        # First: what cannot even start must wait for its next attempt too.
        self._changed.clear()
        # It loads while we read user-data and make the account.
        link = self._link = MonitorLink(self._heard)
        try:
            await self._start(link)
            await self._attend(link)
        finally:
            self._link = None
            await link.close()

    async def _start(self, link: MonitorLink) -> None:
        """Configure a fresh monitor. Raises SheltieError."""
        await self._read()
        self._addresses = addresses(self._wishes.listen or self._policy.listen)
        self._up(await link.configure(self._configuration()), fresh=True)

    async def _attend(self, link: MonitorLink) -> NoReturn:
        """Hand changes of user-data to the monitor until it ends; then raise UnavailableError."""
        while not link.gone.done():
            change = asyncio.ensure_future(self._changed.wait())
            either: list[asyncio.Future[Any]] = [link.gone, change]
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                change.cancel()
            if self._changed.is_set() and not link.gone.done():
                self._changed.clear()
                if await self._read():
                    self._up(await link.configure(self._configuration()), fresh=False)
        raise UnavailableError(f"the SSH server ended: {link.gone.result()}", code="DOOR_NOT_READY")

    async def _read(self) -> bool:
        """Read user-data and make the container fit it; whether anything is new."""
        found = raw, problems = _user_data(self._wishes.user_data)
        if self._booted is not None and found == self._found:
            return False
        self._found = found
        judged = policy.read(raw)
        self._policy = replace(judged, problems=(*problems, *judged.problems))
        # In a thread: the account's programs take a while, and status must answer meanwhile.
        self._booted = await asyncio.to_thread(self._boot, judged.data, os.environ)
        for step in self._booted.done:
            _log.info(event("boot", step=step))
        # A password is no key of a list: where every login only looks, nobody comes by one.
        able = judged.data.password_hash and judged.data.access == ACCESS[0]
        self.consoles.want(self._booted.user if able and self._booted.usable else "")
        return True

    def _configuration(self) -> Configure:
        booted = self._booted
        usable = booted is not None and booted.usable
        return Configure(
            user=booted.user if booted else "",
            listen=self._addresses,
            host_keys=str(self._wishes.host_keys),
            algorithms=self._policy.algorithms(),
            limits=self._policy.limits(),
            forwarding=self._policy.forwarding(),
            **self._policy.asked(usable=usable),
        )

    def _up(self, ready: Ready, *, fresh: bool) -> None:
        booted = self._booted or Booted("")
        problems = [*self._policy.problems, *booted.problems, *ready.problems]
        if self._addresses != addresses(self._wishes.listen or self._policy.listen):
            problems.append("sheltie.listen changed: it counts from the next start of admin")
        self.report = replace(
            self.report,
            user=booted.user,
            usable=booted.usable,
            others=max(0, ready.ways - len(self._policy.keys)),
            since=_now() if fresh else self.report.since,
            keys=self._policy.keys,
            looking=self._policy.looking,
            listen=tuple((host, port) for host, port in ready.listen),
            reached_at=self._policy.reached_at,
            host_keys=tuple(ready.host_keys),
            trouble="",
            problems=tuple(dict.fromkeys(problems)),
            happened=(),
        )
        where = ",".join(format_address(host, port) for host, port in ready.listen)
        what = "ready" if fresh else "user-data"
        _log.info(event(what, listen=where, user=booted.user, keys=len(self._policy.keys)))
        for problem in self.report.problems:
            _log.warning(event("problem", what=problem))

    def _heard(self, heard: Event) -> None:
        """Log what the monitor saw, and keep refusals for the status."""
        if heard.what == "host-key":
            keys = (*self.report.host_keys, heard.detail)
            self.report = replace(self.report, host_keys=tuple(dict.fromkeys(keys)))
            return
        fields = {"peer": heard.peer, "user": heard.user, "key": heard.key}
        fields |= {"session": heard.session, "access": heard.access, "detail": heard.detail}
        _log.info(event(heard.what, **fields))
        if self._told is not None:
            self._told(heard)
        if heard.what == "problem":
            self.report = self.report.troubled(heard.detail, _now())
        if heard.what == "refused":
            shown = RefusalShown(_now(), heard.peer, heard.user, heard.key, heard.detail)
            self.report = self.report.refused(shown)

    def _down(self, error: SheltieError, seconds: float) -> None:
        """Say why nobody can connect, and when the next attempt is."""
        booted = self._booted or Booted("")
        was_down = bool(self.report.since and self.report.trouble)
        self.report = replace(
            self.report,
            user=booted.user,
            usable=booted.usable,
            since=self.report.since if was_down else _now(),
            keys=self._policy.keys,
            looking=self._policy.looking,
            listen=(),
            trouble=f"{error.message}; the next attempt is in {seconds:g} s",
            problems=tuple(dict.fromkeys((*self._policy.problems, *booted.problems))),
        )
        _log.error(event("down", code=error.code, why=error.message, seconds=f"{seconds:g}"))


def addresses(wanted: tuple[str, int] | None) -> list[tuple[str, int]]:
    """Return where to listen: each address by itself, IPv6 only where the kernel has it."""
    host, port = wanted or ("", policy.SSH_PORT)
    if host:
        return [(host, port)]
    every = [("0.0.0.0", port)]  # noqa: S104  upstream's door is on every address too
    try:
        socket.socket(socket.AF_INET6).close()
    except OSError:
        return every
    return [*every, ("::", port)]


def _user_data(path: Path) -> tuple[bytes | None, tuple[str, ...]]:
    """Return the bytes of user-data, None where it is missing, and what is wrong with the file."""
    try:
        return read_file(path, LIMIT), ()
    except FileNotFoundError:
        return None, ()
    except OSError as error:
        return b"", (f"user-data cannot be read: {error.strerror}",)
    except SheltieError as error:
        return b"", (f"user-data cannot be read: {error.message}",)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
